// Looks at the pages of three agents and of three fleets as a person would: see scenarios/6-page.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const here = dirname(fileURLToPath(import.meta.url));
const axe = readFileSync(`${here}/node_modules/axe-core/axe.min.js`, 'utf8');
const pages = [
  { url: 'http://127.0.0.1:19901/', check: (page, where) => agent(page, 0, where) },
  { url: 'http://127.0.0.1:19902/', check: (page, where) => agent(page, 12, where), picture: 'page' },
  { url: 'http://127.0.0.1:19903/', check: (page, where) => agent(page, 500, where) },
  { url: 'http://127.0.0.1:19904/', check: (page, where) => fleet(page, 0, where) },
  { url: 'http://127.0.0.1:19905/', check: (page, where) => fleet(page, 3, where), picture: 'fleet' },
  { url: 'http://127.0.0.1:19906/', check: (page, where) => fleet(page, 1000, where) },
  { url: 'http://127.0.0.1:19906/?cluster=eksa-system/prod-0123', check: (page, where) => cluster(page, 6, where) },
];
const telephones = [360, 375];
const desktops = [1000, 1280];
// What a page may weigh; a telephone behind a tunnel waits for it.
const MOST_BYTES = 500_000;

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--disable-background-networking',
    '--disable-component-update', '--disable-sync'],
});
for (const { url, check, picture } of pages) {
  const backgrounds = new Set();
  for (const colorScheme of ['light', 'dark']) {
    for (const width of [...telephones, ...desktops]) {
      const page = await browser.newPage({ colorScheme, viewport: { width, height: 900 } });
      // A thousand clusters are filtered in a second; a machine that does other work as well takes its time.
      page.setDefaultTimeout(120_000);
      const asked = [];
      const said = [];
      page.on('request', (request) => asked.push(request.url()));
      page.on('console', (message) => said.push(message.text()));
      const where = `${url} ${colorScheme} ${width}`;
      const answer = await page.goto(url);
      const bytes = (await answer.body()).length;
      assert.ok(bytes < MOST_BYTES, `${where}: ${bytes} bytes`);
      backgrounds.add(await page.evaluate(() => getComputedStyle(document.body).backgroundColor));
      await check(page, where);
      await fits(page, where);
      assert.deepEqual(asked.filter((other) => other !== url && !other.endsWith('/favicon.ico')), [], where);
      assert.deepEqual(said.filter((line) => !line.includes('404')), [], where);
      if (width === telephones[0]) {
        await accessible(page, where);
      }
      if (picture && width === (colorScheme === 'dark' ? telephones : desktops)[0]) {
        await page.screenshot({ path: `${here}/${picture}-${colorScheme}.png`, fullPage: width === desktops[0] });
      }
      await page.close();
    }
  }
  assert.equal(backgrounds.size, 2, 'dark and light differ');
}
await browser.close();
console.log('seen');

// Each certificate has a bar, and where there is one the earliest is marked.
async function agent(page, certificates, where) {
  assert.equal(await page.locator('svg').count(), certificates, where);
  assert.equal(await page.locator('.mark').count() > 0, certificates > 0, where);
}

// Each cluster has a line, a filter shows as many as it says, and the worst cluster can be opened.
async function fleet(page, clusters, where) {
  const lines = page.locator('ol > li');
  assert.equal(await lines.count(), clusters, where);
  if (clusters === 0) return;
  for (const label of (await page.locator('label').all()).reverse()) {
    await label.click();
    const shown = await lines.evaluateAll((all) => all.filter((line) => line.checkVisibility()).length);
    const text = await label.textContent();
    assert.equal(shown, parseInt(text, 10), `${where}: ${text}`);
  }
  if (clusters > 3) {
    const hostile = lines.filter({ hasText: "<script>document.title = 'it ran'</script>" });
    assert.equal(await hostile.filter({ hasText: '<img src=x' }).count(), 1, where);
    assert.equal(await page.title(), 'Certificates of all clusters', where);
    assert.equal(await page.locator('script, img').count(), 0, where);
  }
  const stuck = lines.filter({ hasText: 'eksa-system/edge' });
  await stuck.locator('summary').click();
  for (const text of ['the rollout makes no progress', 'edge-etcd-3 at 192.0.2.23:9797 was not heard']) {
    await stuck.getByText(text).waitFor({ state: 'visible' });
  }
}

// Each of its machines has a row.
async function cluster(page, machines, where) {
  assert.equal(await page.locator('tbody tr').count(), machines, where);
}

// Nothing is wider than the window, closed or open.
async function fits(page, where) {
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  assert.ok(overflow <= 0, `${where}: ${overflow} px too wide`);
}

// Contrast, landmarks, headers of tables, names of controls: what axe knows of WCAG and of good practice.
async function accessible(page, where) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => axe.run());
  const found = violations.map(({ id, nodes }) => `${id}: ${nodes[0].html} ${nodes[0].failureSummary}`);
  assert.deepEqual(found, [], where);
}
