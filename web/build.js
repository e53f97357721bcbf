// Builds web/dist, which the Go binary embeds: the compiled style sheet, the
// page's modules as one, and the libraries from node_modules. Each file has a
// hash of its content in its name, and beside it what gzip and brotli make of it;
// manifest.json tells the templates the names.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';
import { buildSync } from 'esbuild';

const web = dirname(fileURLToPath(import.meta.url));
const dist = join(web, 'dist');
const modules = join(web, 'node_modules');
const require = createRequire(import.meta.url);
const target = ['chrome120', 'firefox121', 'safari17.4'];

// A file that is left from an earlier build would be embedded and served.
mkdirSync(dist, { recursive: true });
for (const name of readdirSync(dist)) {
  if (name !== '.keep') rmSync(join(dist, name), { recursive: true });
}

const manifest = {};
const sizes = [];

// put writes a file under a name that its content gives, or under its own.
function put(name, content, { hashed = false } = {}) {
  const bytes = Buffer.from(content);
  const hash = createHash('sha256').update(bytes).digest('hex').slice(0, 10);
  const as = hashed ? name : name.replace(/(\.[a-z]+)$/, `-${hash}$1`);
  if (!hashed) manifest[name] = as;
  const gzip = gzipSync(bytes, { level: 9 });
  const brotli = brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length } });
  writeFileSync(join(dist, as), bytes);
  writeFileSync(join(dist, `${as}.gz`), gzip);
  writeFileSync(join(dist, `${as}.br`), brotli);
  sizes.push([as, bytes.length, gzip.length, brotli.length]);
}

const cli = require.resolve('@tailwindcss/cli/package.json');
const bin = join(dirname(cli), JSON.parse(readFileSync(cli)).bin.tailwindcss);
const css = execFileSync(process.execPath, [bin, '--input', 'src/weir.css', '--minify'], { cwd: web, stdio: ['ignore', 'pipe', 'ignore'] });
put('weir.css', css);

// The page's own modules. What draws the charts is a file of its own, fetched
// when there is something to draw.
const { outputFiles } = buildSync({
  absWorkingDir: web, entryPoints: ['src/app.js'], outdir: dist, write: false,
  bundle: true, splitting: true, format: 'esm', minify: true, target, chunkNames: '[name]-[hash]', legalComments: 'none',
});
for (const { path, text } of outputFiles) {
  const name = path.slice(dist.length + 1);
  put(name, text, { hashed: name !== 'app.js' });
}
const minify = (code) => buildSync({ stdin: { contents: code }, write: false, minify: true, target, legalComments: 'none' }).outputFiles[0].text;
put('theme.js', minify(readFileSync(join(web, 'src/theme.js'), 'utf8')));
put('favicon.svg', readFileSync(join(web, 'src/favicon.svg')));

// The source maps are not shipped; a pointer to one would be a 404 in the console.
const library = (path) => readFileSync(join(modules, path), 'utf8').replace(/\n?\/[/*]# sourceMappingURL=.*$/m, '\n');
put('htmx.js', library('htmx.org/dist/htmx.min.js'));
put('alpine.js', library('@alpinejs/csp/dist/cdn.min.js'));

writeFileSync(join(dist, 'manifest.json'), JSON.stringify(manifest, null, 2));
writeFileSync(join(dist, 'LICENSES.txt'), ['htmx.org', '@alpinejs/csp', 'uplot', 'tailwindcss'].map(notice).join('\n\n'));

// The licences ask that their text goes with every copy.
function notice(name) {
  const dir = join(modules, name);
  const { version, license, homepage = '' } = JSON.parse(readFileSync(join(dir, 'package.json')));
  const file = readdirSync(dir).find((entry) => /^licen[cs]e/i.test(entry));
  const text = file ? readFileSync(join(dir, file), 'utf8').trim() : `Licensed under ${license}.`;
  return `${name} ${version} (${license}) ${homepage}\n\n${text}\n`;
}

const column = (n) => String(n).padStart(8);
console.log(`${column('bytes')}${column('gzip')}${column('brotli')}`);
for (const [name, ...of] of sizes.sort()) console.log(`${of.map(column).join('')}  ${name}`);
const sum = (i) => sizes.filter(([name]) => !/^(chart|band)-/.test(name)).reduce((total, row) => total + row[i], 0);
console.log(`${column(sum(1))}${column(sum(2))}${column(sum(3))}  at first load`);
