// Walks through the pages in a real browser, by keyboard, and judges each: what the console says, where requests
// go, whether axe finds a barrier, whether it fits its width. Every page is looked at in two widths, light and dark.
//
// Argument: JSON with `base` (the server), `out` (for screenshots), `browser` (the program), and either `event`,
// `agent`, `organization` and `hostile` (paths), or `name`, `password` and `next` to sign in.
// Prints one line for each thing seen; ends with an error where something is wrong.
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import puppeteer from "puppeteer-core";

const asked = JSON.parse(process.argv[2]);
const axe = fs.readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const LOOKS = [[390, "light"], [390, "dark"], [1280, "dark"], [1280, "light"]];
const LONG = 660_000;

fs.mkdirSync(asked.out, { recursive: true });
// As root Chromium has no sandbox of its own.
const flags = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--force-color-profile=srgb"];
const browser = await puppeteer.launch({ executablePath: asked.browser, args: flags, protocolTimeout: LONG });
const wrong = [];
let expected = [];

async function tab(javascript = true) {
  const context = await browser.createBrowserContext();
  const page = await context.newPage();
  page.setDefaultTimeout(LONG);
  await page.setJavaScriptEnabled(javascript);
  const at = () => page.url().slice(asked.base.length);
  page.on("console", (said) => {
    const isExpected = expected.some((status) => said.text().includes(`status of ${status}`));
    if (["error", "warn", "issue"].includes(said.type()) && !isExpected) wrong.push(`${at()}: console: ${said.text()}`);
  });
  page.on("pageerror", (error) => wrong.push(`${at()}: ${error.message}`));
  page.on("dialog", (dialog) => {
    wrong.push(`${at()}: a dialog says ${dialog.message()}`);
    dialog.dismiss();
  });
  page.on("request", (request) => {
    const isOwn = request.url().startsWith(`${asked.base}/`) || request.url().startsWith("data:");
    if (!isOwn) wrong.push(`${at()}: asks for ${request.url()}`);
  });
  page.on("requestfailed", (request) => {
    // A download takes over from the page that asked for it.
    if (!request.url().includes("download=")) wrong.push(`${request.url()}: ${request.failure()?.errorText}`);
  });
  page.on("response", (response) => {
    const isRight = response.status() < 400 || expected.includes(response.status());
    if (!isRight) wrong.push(`${response.url()}: ${response.status()}`);
  });
  await dress(page, 1280, "light");
  return page;
}

async function dress(page, width, scheme) {
  await page.setViewport({ width, height: width === 390 ? 844 : 900 });
  await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
}

async function look(page, name, heading) {
  const title = await page.$eval("h1", (h1) => h1.textContent);
  if (!title.includes(heading)) wrong.push(`${name}: the heading is "${title}" and not "${heading}"`);
  // Given by the debugger, so the policy of the page does not have to let it in.
  await page.evaluate(axe);
  for (const [width, scheme] of LOOKS) {
    await dress(page, width, scheme);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    if (wide > width) wrong.push(`${name}: ${wide} wide at ${width}`);
    const found = await page.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
    for (const { id, nodes } of found.violations) {
      wrong.push(`${name} at ${width} ${scheme}: ${id}, ${nodes.length} times: ${nodes[0].html.slice(0, 200)}: ${nodes[0].failureSummary}`);
    }
    const tall = await page.evaluate(() => document.documentElement.scrollHeight);
    const clip = { x: 0, y: 0, width, height: Math.min(tall, 4000) };
    await page.screenshot({ path: path.join(asked.out, `${name}-${width}-${scheme}.png`), clip, captureBeyondViewport: true });
  }
  console.log(`looked at ${name}: ${title}`);
}

async function follow(page, act) {
  await Promise.all([page.waitForNavigation(), act()]);
}

/// Tabs until what has the focus leads there, which must be seen to have it; then presses Enter.
async function tabTo(page, there) {
  const seen = [];
  for (let n = 0; n < 200; n++) {
    await page.keyboard.press("Tab");
    const at = await page.evaluate(() => {
      const own = document.activeElement;
      return { href: own.getAttribute("href") ?? own.id, outline: getComputedStyle(own).outlineStyle };
    });
    seen.push(at.href);
    if (at.href?.startsWith(there)) {
      if (at.outline === "none") wrong.push(`${page.url()}: nothing shows that ${at.href} has the focus`);
      await follow(page, () => page.keyboard.press("Enter"));
      return;
    }
  }
  throw new Error(`no tab leads to ${there} on ${page.url()}: ${seen.join(" ")}`);
}

async function open(page, there) {
  await page.goto(asked.base + there);
}

async function walk() {
  const page = await tab();
  await open(page, "/");
  await look(page, "overview", "Which agent did this");
  await page.keyboard.press("/");
  await page.keyboard.type(asked.event);
  await follow(page, () => page.keyboard.press("Enter"));
  if (!page.url().endsWith(`/trace/${asked.event}`)) wrong.push(`the search led to ${page.url()}`);
  await look(page, "trace", "");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  const main = await page.evaluate(() => document.activeElement.id);
  if (main !== "main") wrong.push(`the first link of a page skips to "${main}"`);
  const trace = page.url().split("#")[0];
  await tabTo(page, "/agent/");
  await look(page, "agent", asked.agent);
  await tabTo(page, "/identity/");
  await look(page, "identity", "");
  await page.goto(trace);
  await tabTo(page, "/record/");
  await look(page, "record", "");
  await page.goBack();
  await tabTo(page, "/run/");
  await look(page, "run", "");
  await tabTo(page, "/pool/");
  await look(page, "pool", "");

  await tabTo(page, "/reports");
  await look(page, "reports", "Reports");
  await tabTo(page, "/reports/agent_actions");
  await page.focus("#p-agent");
  await page.keyboard.type(asked.agent);
  await follow(page, () => page.keyboard.press("Enter"));
  await look(page, "report", "agent actions");
  if ((await page.$$("#answer tbody tr")).length === 0) wrong.push("the report has no rows");

  await tabTo(page, "/sql");
  await look(page, "sql", "SQL");
  await page.focus("#sql");
  await page.keyboard.type("select grade, count(*) as actions from actions group by 1 order by 2 desc");
  await page.keyboard.down("Control");
  await follow(page, () => page.keyboard.press("Enter"));
  await page.keyboard.up("Control");
  await look(page, "sql-answer", "SQL");
  const bars = await page.$$eval("#plot rect", (all) => all.map((one) => Number(one.getAttribute("width"))));
  const rows = (await page.$$("#rows tbody tr")).length;
  if (bars.length !== rows || Math.max(...bars) !== 100) wrong.push(`${rows} rows are plotted as ${bars}`);
  await download(page, rows);
  expected = [];
  await open(page, `/sql?q=${encodeURIComponent("selec 1")}`);
  await look(page, "sql-refused", "SQL");
  await open(page, `/sql?q=${encodeURIComponent("select occurred, action from actions order by occurred, event_id")}`);
  const first = await page.$eval("#rows tbody tr", (row) => row.textContent);
  await follow(page, () => page.click("a[rel=next]"));
  await look(page, "turned", "SQL");
  await follow(page, () => page.click("a[rel=prev]"));
  if (first !== (await page.$eval("#rows tbody tr", (row) => row.textContent))) wrong.push("there and back is elsewhere");
  await open(page, "/search?q=linux");
  await look(page, "search", "Search");
  for (const [n, there] of asked.hostile.entries()) {
    await open(page, there);
    await look(page, `hostile-${n}`, "");
  }
  expected = [404];
  await open(page, "/trace/nothing");
  await look(page, "missing", "Not Found");
  expected = [];
  await plain(trace);
}

async function download(page, rows) {
  const folder = path.join(asked.out, "downloads");
  fs.rmSync(folder, { recursive: true, force: true });
  const session = await browser.target().createCDPSession();
  const done = new Promise((resolve, reject) => {
    session.on("Browser.downloadProgress", ({ state }) => {
      if (state === "completed") resolve();
      if (state === "canceled") reject(new Error("the download was cut off"));
    });
  });
  const context = page.browserContext().id;
  const how = { behavior: "allow", downloadPath: folder, eventsEnabled: true, browserContextId: context };
  await session.send("Browser.setDownloadBehavior", how);
  await page.click("a[href*='format=csv']");
  await done;
  const [file] = fs.readdirSync(folder);
  const lines = fs.readFileSync(path.join(folder, file), "utf8").trim().split("\n");
  if (file !== "rows.csv" || lines.length !== rows + 1) wrong.push(`${file} has ${lines.length} lines of ${rows} rows`);
  console.log(`downloaded ${file}`);
}

/// Without scripts everything can be read, and asked.
async function plain(trace) {
  const page = await tab(false);
  await open(page, "/");
  await page.focus("#find");
  await page.keyboard.type(asked.event);
  await follow(page, () => page.keyboard.press("Enter"));
  if (page.url() !== trace) wrong.push(`without scripts the search led to ${page.url()}`);
  await follow(page, () => page.click("a[href^='/agent/']"));
  await open(page, `/sql?q=${encodeURIComponent("select grade, count(*) as n from actions group by 1")}`);
  if ((await page.$$("#plot rect")).length === 0) wrong.push("without scripts there is no plot");
  console.log("read without scripts");
}

async function sign() {
  const page = await tab();
  await open(page, asked.next);
  if (!page.url().includes("/sign-in?next=")) wrong.push(`nobody was asked to sign in: ${page.url()}`);
  await look(page, "sign-in", "Sign in");
  const enter = async (password) => {
    await page.$eval("#name", (box) => (box.value = ""));
    await page.type("#name", asked.name);
    await page.type("#password", password);
    await follow(page, () => page.keyboard.press("Enter"));
  };
  expected = [401];
  await enter("not it");
  await look(page, "sign-in-wrong", "Sign in");
  if (!(await page.$("[role=alert]"))) wrong.push("a wrong password is not said to be one");
  expected = [];
  await enter(asked.password);
  if (page.url() !== asked.base + asked.next) wrong.push(`the sign-in led to ${page.url()}`);
  await look(page, "signed-in", "");
  await follow(page, () => page.click("header form.who button"));
  if (!page.url().endsWith("/sign-in")) wrong.push(`the sign-out led to ${page.url()}`);
  await open(page, asked.next);
  if (!page.url().includes("/sign-in?next=")) wrong.push("whoever signed out is in");
  console.log("signed in and out");
}

try {
  await (asked.event ? walk() : sign());
} catch (error) {
  wrong.push(error.stack);
}
await browser.close();
for (const one of wrong) console.error(one);
process.exit(wrong.length === 0 ? 0 : 1);
