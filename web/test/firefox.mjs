// Drives the page in a real Firefox, by WebDriver BiDi: what a reader does first,
// in each view. It is started by e2e/firefox_test.go, which cuts the line when this
// says so, and publishes when it asks for an event.
//
//   node firefox.mjs FIREFOX URL
import puppeteer from 'puppeteer-core';

const [executablePath, url] = process.argv.slice(2);
const PATIENCE = 30_000;
const problems = [];

const browser = await puppeteer.launch({ browser: 'firefox', executablePath, headless: true, args: ['--width=1280', '--height=900'] });

async function open(address) {
  const page = await browser.newPage();
  page.on('console', (message) => {
    if (['error', 'warn'].includes(message.type())) problems.push(`console: ${message.text()}`);
  });
  page.on('pageerror', (error) => problems.push(`exception: ${error.message}`));
  await page.goto(address);
  await wait(page, () => document.getElementById('theme')?.title);
  return page;
}

const wait = (page, condition, ...args) => page.waitForFunction(condition, { timeout: PATIENCE, polling: 50 }, ...args);
const state = (page, want) => wait(page, (name) => document.body.dataset.state === name, want);
const step = (name) => console.log(`step ${name}`);
const ask = (what) => console.log(`ask ${what}`);

try {
  const page = await open(url);
  await page.click('#connect');
  await state(page, 'connected');
  ask('publish');
  await wait(page, () => document.querySelectorAll('#sse-feed .data-item').length >= 1);
  step('connect');

  // A second reader is one too many for this server, and is told so in words.
  const other = await (await browser.createBrowserContext()).newPage();
  await other.goto(url);
  await wait(other, () => document.getElementById('theme')?.title);
  await other.click('#connect');
  await wait(other, () => /429/.test(document.getElementById('error-message').textContent) && /Next try in/.test(document.getElementById('retry-countdown').textContent));
  await other.close();
  step('limit');

  ask('cut');
  await wait(page, () => document.body.dataset.state !== 'connected');
  ask('publish');
  await state(page, 'connected');
  await wait(page, () => document.querySelectorAll('#sse-feed .data-item').length >= 2);
  await wait(page, () => document.getElementById('stream-resumed').textContent === 'once, nothing missed' && document.querySelectorAll('.feed-note').length === 0);
  step('reconnect');

  ask('publish');
  await wait(page, () => document.querySelectorAll('#sse-feed .data-item').length >= 3);
  await page.click('#sse-feed .data-item:last-child');
  await wait(page, () => document.querySelector('#journey .waterfall [data-service="weir-browser"]'));
  step('journey');

  for (const [view, there] of [['streams', '#streams-rows tr[data-own]'], ['traces', '.trace-line'], ['feed', '#sse-feed .data-item']]) {
    await page.click(`#views [data-view=${view}]`);
    await wait(page, (name, selector) => document.body.dataset.view === name && document.querySelector(selector)?.checkVisibility(), view, there);
    step(view);
  }
  await page.click('#disconnect');
  await state(page, 'disconnected');
  step('disconnect');
} catch (error) {
  problems.push(error.message);
}
for (const problem of problems) console.log(`problem ${problem.replaceAll('\n', ' ')}`);
await browser.close();
process.exit(problems.length ? 1 : 0);
