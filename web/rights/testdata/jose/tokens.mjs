// Makes JSON Web Tokens, good and bad, for the tests of package rights.
import { createHmac, generateKeyPairSync } from "node:crypto";
import * as jose from "jose";

const later = Date.UTC(2100, 0, 1) / 1000;
const grants = { subscribe: ["user.42", "orders/eu.*"], publish: ["run.*"] };
const good = { sub: "alice", exp: later, aud: "weir.test", weir: grants };
const b64 = (v) => Buffer.from(typeof v === "string" ? v : JSON.stringify(v)).toString("base64url");
const hmac = (header, payload, key) => {
  const head = `${b64(header)}.${b64(payload)}`;
  return `${head}.${createHmac("sha256", key).update(head).digest("base64url")}`;
};

const pairs = {};
for (const alg of ["RS256", "PS256", "ES256", "ES384", "ES512", "EdDSA"]) {
  pairs[alg] = await jose.generateKeyPair(alg, { extractable: true });
}
const stranger = await jose.generateKeyPair("RS256", { extractable: true });
const secret = new TextEncoder().encode("a secret that two programs share, 32 bytes and more");
const jwks = { keys: [] };
for (const [alg, pair] of Object.entries(pairs)) {
  jwks.keys.push({ ...(await jose.exportJWK(pair.publicKey)), kid: alg.toLowerCase(), alg, use: "sig" });
}
const shared = { kty: "oct", k: Buffer.from(secret).toString("base64url"), kid: "shared", alg: "HS256" };
const weak = generateKeyPairSync("rsa", { modulusLength: 1024 }).publicKey.export({ format: "jwk" });
const encryption = { ...(await jose.exportJWK(stranger.publicKey)), kid: "enc", use: "enc" };
const odd = [{ ...weak, kid: "weak" }, encryption, { kty: "XYZ", kid: "unknown" }];
const pem = await jose.exportSPKI(pairs.RS256.publicKey);

const sign = (payload, header = {}, key = pairs.RS256.privateKey) =>
  new jose.SignJWT(payload).setProtectedHeader({ alg: "RS256", kid: "rs256", ...header }).sign(key);

const valid = {}, invalid = {};
for (const [alg, pair] of Object.entries(pairs)) {
  valid[alg] = await sign(good, { alg, kid: alg.toLowerCase() }, pair.privateKey);
}
valid["HS256 by the shared secret"] = await sign(good, { alg: "HS256", kid: "shared" }, secret);
valid["no kid"] = await new jose.SignJWT(good).setProtectedHeader({ alg: "RS256" }).sign(pairs.RS256.privateKey);
valid["several audiences"] = await sign({ ...good, aud: ["a", "weir.test"] });
valid["a foreign jku is not followed"] = await sign(good, { jku: "http://127.0.0.1:1/jwks", x5u: "http://127.0.0.1:1/x5u" });
valid["an embedded key is not taken"] = await sign(good, { jwk: await jose.exportJWK(stranger.publicKey) });

const without = (claim) => Object.fromEntries(Object.entries(good).filter(([name]) => name !== claim));
invalid["alg none"] = new jose.UnsecuredJWT(good).encode();
for (const none of ["None", "NONE", "nOnE"]) invalid[`alg ${none}`] = `${b64({ alg: none, kid: "rs256" })}.${b64(good)}.`;
invalid["alg none, signature left"] = `${b64({ alg: "none" })}.${b64(good)}.${valid.RS256.split(".")[2]}`;
invalid["no signature"] = valid.RS256.split(".").slice(0, 2).join(".") + ".";
invalid["HS256 by the public key in PEM"] = hmac({ alg: "HS256", kid: "rs256" }, good, pem);
invalid["HS256 by the public key in PEM, trimmed"] = hmac({ alg: "HS256" }, good, pem.trim());
invalid["HS256 by the public JWK"] = hmac({ alg: "HS256", kid: "rs256" }, good, JSON.stringify(jwks.keys[0]));
invalid["HS256 by the modulus"] = hmac({ alg: "HS256", kid: "rs256" }, good, Buffer.from(jwks.keys[0].n, "base64url"));
invalid["HS256 by nothing, kid a path"] = hmac({ alg: "HS256", kid: "../../../../../../dev/null" }, good, "");
invalid["HS256 by nothing, kid an injection"] = hmac({ alg: "HS256", kid: "x' UNION SELECT '" }, good, "");
invalid["kid a path"] = await sign(good, { kid: "/etc/passwd" }, stranger.privateKey);
invalid["the key of a stranger under our kid"] = await sign(good, {}, stranger.privateKey);
invalid["the key of a stranger, embedded"] = await sign(good, { jwk: await jose.exportJWK(stranger.publicKey) }, stranger.privateKey);
invalid["the key of a stranger, with its address"] = await sign(good, { jku: "http://127.0.0.1:1/jwks", kid: "theirs" }, stranger.privateKey);
invalid["the algorithm of another key"] = await sign(good, { alg: "PS256", kid: "rs256" }, await jose.importJWK({ ...(await jose.exportJWK(pairs.RS256.privateKey)), alg: "PS256" }, "PS256"));
invalid["a critical header that nobody knows"] = await new jose.SignJWT(good).setProtectedHeader({ alg: "RS256", kid: "rs256", crit: ["weir"], weir: 1 })
  .sign(pairs.RS256.privateKey, { crit: { weir: true } }).catch(() => hmac({ alg: "HS256", kid: "shared", crit: ["weir"], weir: 1 }, good, secret));
invalid["no exp"] = await sign(without("exp"));
invalid["exp null"] = await sign({ ...good, exp: null }).catch(() => hmac({ alg: "HS256", kid: "shared" }, { ...good, exp: null }, secret));
invalid["exp a text"] = hmac({ alg: "HS256", kid: "shared" }, { ...good, exp: "2100-01-01" }, secret);
invalid["exp beyond all numbers"] = hmac({ alg: "HS256", kid: "shared" }, '{"sub":"alice","exp":1e400,"aud":"weir.test","weir":{"subscribe":["user.42"]}}', secret);
invalid["expired"] = await sign({ ...good, exp: 1700000000 });
invalid["exp 0"] = await sign({ ...good, exp: 0 });
invalid["exp negative"] = await sign({ ...good, exp: -1 });
invalid["not yet valid"] = await sign({ ...good, nbf: later - 1000 });
invalid["no audience"] = await sign(without("aud"));
invalid["another audience"] = await sign({ ...good, aud: "weir.tes" });
invalid["a claim that is no object"] = await sign({ ...good, weir: "subscribe" });
invalid["a claim that is no list"] = await sign({ ...good, weir: { subscribe: "user.42" } });
invalid["a claim of numbers"] = await sign({ ...good, weir: { subscribe: [42] } });
invalid["a grant that is none"] = await sign({ ...good, weir: { subscribe: ["a/b/c"] } });
invalid["a grant with a star inside"] = await sign({ ...good, weir: { subscribe: ["us*r"] } });
invalid["claims that are no object"] = hmac({ alg: "HS256", kid: "shared" }, "[]", secret);
invalid["claims that are no JSON"] = hmac({ alg: "HS256", kid: "shared" }, "{", secret);
invalid["a huge token"] = await sign({ ...good, pad: "x".repeat(20000) });
invalid["encrypted"] = await new jose.EncryptJWT(good).setProtectedHeader({ alg: "RSA-OAEP-256", enc: "A256GCM", kid: "rs256" })
  .encrypt(await jose.importJWK({ ...(await jose.exportJWK(pairs.RS256.publicKey)), alg: "RSA-OAEP-256" }, "RSA-OAEP-256"));
invalid["changed claims"] = valid.RS256.split(".").map((p, i) => (i === 1 ? b64({ ...good, weir: { subscribe: ["*"] } }) : p)).join(".");
invalid["a changed signature"] = valid.RS256.slice(0, -8) + "AAAAAAAA";
invalid["two dots"] = "..";
const none = await sign(without("weir")); // valid, and allows nothing

console.log(JSON.stringify({ jwks: { keys: [...odd, ...jwks.keys] }, shared, pem, valid, invalid, none }, null, 1));
