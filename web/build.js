// Builds web/dist, which the Go binary embeds: the compiled style sheet, the
// page's own modules as they are, and the libraries from node_modules. Nothing
// is bundled: six small modules over one connection load as fast, and what runs
// in the browser is what stands in src.
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const web = dirname(fileURLToPath(import.meta.url));
const dist = join(web, 'dist');
const modules = join(web, 'node_modules');
const require = createRequire(import.meta.url);

const libraries = {
  'htmx.org': { 'dist/htmx.min.js': 'htmx.min.js', 'dist/ext/hx-sse.min.js': 'hx-sse.min.js' },
  '@alpinejs/csp': { 'dist/cdn.min.js': 'alpine-csp.min.js' },
  uplot: { 'dist/uPlot.iife.min.js': 'uPlot.iife.min.js', 'dist/uPlot.min.css': 'uPlot.min.css' },
};

// A file that is left from an earlier build would be embedded and served.
mkdirSync(dist, { recursive: true });
for (const name of readdirSync(dist)) {
  if (name !== '.keep') rmSync(join(dist, name), { recursive: true });
}

const cli = require.resolve('@tailwindcss/cli/package.json');
const bin = join(dirname(cli), JSON.parse(readFileSync(cli)).bin.tailwindcss);
execFileSync(process.execPath, [bin, '--input', 'src/weir.css', '--output', 'dist/weir.css', '--minify'], {
  cwd: web,
  stdio: ['ignore', 'ignore', 'inherit'],
});

for (const name of readdirSync(join(web, 'src'))) {
  if (/\.(js|svg)$/.test(name)) copyFileSync(join(web, 'src', name), join(dist, name));
}

const notices = [];
for (const [library, files] of Object.entries(libraries)) {
  for (const [from, to] of Object.entries(files)) {
    // The source maps are not shipped; a pointer to one would be a 404 in the console.
    const text = readFileSync(join(modules, library, from), 'utf8');
    writeFileSync(join(dist, to), text.replace(/\n?\/[/*]# sourceMappingURL=.*$/m, '\n'));
  }
  notices.push(notice(library));
}
notices.push(notice('tailwindcss'));
writeFileSync(join(dist, 'LICENSES.txt'), notices.join('\n\n'));

// The licences ask that their text goes with every copy.
function notice(library) {
  const dir = join(modules, library);
  const { version, license, homepage = '' } = JSON.parse(readFileSync(join(dir, 'package.json')));
  const file = readdirSync(dir).find((name) => /^licen[cs]e/i.test(name));
  const text = file ? readFileSync(join(dir, file), 'utf8').trim() : `Licensed under ${license}.`;
  return `${library} ${version} (${license}) ${homepage}\n\n${text}\n`;
}

for (const name of readdirSync(dist).sort()) {
  if (name !== '.keep') console.log(`${String(statSync(join(dist, name)).size).padStart(8)}  ${name}`);
}
