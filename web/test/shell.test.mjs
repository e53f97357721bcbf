// The lines for a shell, put before one.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';

import './browser.mjs';

const { curl } = await import('../src/shell.js');

// words are what a shell makes of a line that calls curl.
function words(line) {
  return execFileSync('sh', ['-c', `curl() { printf '%s\\0' "$@"; }; TOKEN=s3cret; ${line}`], { encoding: 'utf8' }).split('\0').slice(0, -1);
}

test('a shell makes of a line what was meant, whatever the names are', () => {
  for (const name of ["c'd", "a'b'c", 'a&b', "~!$&'()+;:@", '$HOME', '-.', 'x y', '`id`', '"', '\\', '%41', '*']) {
    assert.deepEqual(words(curl([], false, `/sse-stream?topic=${name}&format=json`)), [`weir.example/sse-stream?topic=${name}&format=json`]);
    assert.deepEqual(words(curl(['-d', name], true, `/t/${name}`)), ['-d', name, '-H', 'Authorization: Bearer s3cret', `weir.example/t/${name}`]);
  }
});
