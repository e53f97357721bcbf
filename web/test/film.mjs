// Makes the README's film of the real page: connect, publish, press, cut, heal, and
// the picture of the streams. Started by .ci/film.
//
//   node film.mjs CHROMIUM URL DIR
//
// DIR gets the frames as PNG, frames.txt (how many ms each is shown, and its name),
// and journey.png, the panel of the event that was pressed.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import puppeteer from 'puppeteer-core';

const [executablePath, url, dir] = process.argv.slice(2);
const LEAST = 90; // ms between two frames
const browser = await puppeteer.launch({ executablePath, headless: true, args: ['--no-sandbox', '--force-device-scale-factor=1'] });
const page = await browser.newPage();
await page.setViewport({ width: 1200, height: 760 });
await page.goto(url);
await page.waitForFunction(() => document.getElementById('theme')?.title);

// A headless browser has no pointer to be seen.
await page.evaluate(() => {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.id = 'pointer';
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.innerHTML = '<path d="M4 2v18l5-5 3.500 7 3-1.500L12 14h7z" fill="#111" stroke="#fff" stroke-width="1.500"/>';
  Object.assign(svg.style, { position: 'fixed', left: '0', top: '0', width: '26px', zIndex: 99, pointerEvents: 'none', transform: 'translate(540px, 420px)', transition: 'transform 450ms ease-in-out' });
  document.body.append(svg);
});
const rest = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });
async function press(selector) {
  await page.evaluate((at) => {
    const box = document.querySelector(at).getBoundingClientRect();
    document.getElementById('pointer').style.transform = `translate(${box.left + Math.min(60, box.width / 2)}px, ${box.top + box.height / 2}px)`;
  }, selector);
  await rest(520);
  await page.evaluate((at) => document.querySelector(at).click(), selector);
}

const frames = [];
const session = await page.createCDPSession();
let last = 0;
session.on('Page.screencastFrame', async ({ data, metadata, sessionId }) => {
  const at = metadata.timestamp * 1000;
  if (at - last >= LEAST) {
    last = at;
    const name = `${String(frames.length).padStart(4, '0')}.png`;
    frames.push({ at, name });
    writeFileSync(join(dir, name), Buffer.from(data, 'base64'));
  }
  await session.send('Page.screencastFrameAck', { sessionId }).catch(() => {});
});
await session.send('Page.startScreencast', { format: 'png', everyNthFrame: 1 });

await rest(900);
await press('#connect');
await rest(2500);
await page.focus('#try-text');
await page.evaluate(() => { document.getElementById('try-text').value = ''; });
await page.type('#try-text', 'hello, stream', { delay: 55 });
await press('#publish');
await page.waitForFunction(() => [...document.querySelectorAll('#sse-feed .item-text')].some((e) => e.textContent === 'hello, stream'));
await rest(700);
await page.evaluate(() => { [...document.querySelectorAll('#sse-feed .data-item')].findLast((e) => e.innerText.includes('hello, stream')).id = 'ours'; });
await press('#ours');
await page.waitForFunction(() => document.querySelector('#journey .waterfall [data-service="weir-browser"]'));
await rest(2800);
await session.send('Page.stopScreencast');
await page.evaluate(() => { document.getElementById('pointer').style.visibility = 'hidden'; });
const box = await page.evaluate(() => {
  const [panel, end] = [document.getElementById('journey-panel'), document.querySelector('#event .event-heading')];
  const { left, top, width } = panel.getBoundingClientRect();
  return { x: left, y: top, width, height: end.getBoundingClientRect().top - top - 12 };
});
await page.screenshot({ path: join(dir, 'journey.png'), clip: { ...box, scale: 1.6 } });
await page.evaluate(() => { document.getElementById('pointer').style.visibility = ''; });
await session.send('Page.startScreencast', { format: 'png', everyNthFrame: 1 });
await press('#journey-close');
await press('#cut');
await page.waitForFunction(() => document.getElementById('try-said').textContent.startsWith('Cut for'));
await rest(2200);
await press('#views [data-view=streams]');
await rest(4200);
await session.send('Page.stopScreencast');
const end = frames.at(-1).at + 900;
writeFileSync(join(dir, 'frames.txt'), frames.map(({ at, name }, i) => `${Math.round((frames[i + 1]?.at ?? end) - at)} ${name}\n`).join(''));
await browser.close();
