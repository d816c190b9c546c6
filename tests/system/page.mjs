// Looks at the page of three agents as a person would: see scenarios/6-page.
import assert from 'node:assert/strict';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const here = dirname(fileURLToPath(import.meta.url));
const agents = [
  { port: 19901, certificates: 0 },
  { port: 19902, certificates: 12, picture: true },
  { port: 19903, certificates: 500 },
];
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--disable-background-networking',
    '--disable-component-update', '--disable-sync'],
});
for (const { port, certificates, picture } of agents) {
  const backgrounds = new Set();
  for (const colorScheme of ['light', 'dark']) {
    for (const width of [360, 1000]) {
      const page = await browser.newPage({ colorScheme, viewport: { width, height: 900 } });
      const asked = [];
      const said = [];
      page.on('request', (request) => asked.push(request.url()));
      page.on('console', (message) => said.push(message.text()));
      const url = `http://127.0.0.1:${port}/`;
      await page.goto(url);
      const seen = await page.evaluate(() => ({
        overflow: document.documentElement.scrollWidth - window.innerWidth,
        bars: document.querySelectorAll('svg').length,
        earliest: document.querySelectorAll('.mark').length,
        background: getComputedStyle(document.body).backgroundColor,
        heading: document.querySelector('h1').textContent,
      }));
      const where = `${url} ${colorScheme} ${width}`;
      assert.ok(seen.overflow <= 0, `${where}: ${seen.overflow} px too wide`);
      assert.equal(seen.bars, certificates, where);
      assert.equal(seen.earliest > 0, certificates > 0, where);
      assert.deepEqual(asked.filter((other) => other !== url && !other.endsWith('/favicon.ico')), [], where);
      assert.deepEqual(said.filter((line) => !line.includes('404')), [], where);
      backgrounds.add(seen.background);
      if (picture && (width === 360) === (colorScheme === 'dark')) {
        await page.screenshot({ path: `${here}/page-${colorScheme}.png`, fullPage: width === 1000 });
      }
      await page.close();
    }
  }
  assert.equal(backgrounds.size, 2, 'dark and light differ');
}
await browser.close();
console.log('seen');
