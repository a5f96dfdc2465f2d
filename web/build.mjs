// Builds the pages' scripts and styles into the Python packages that serve them.
// `node build.mjs --check` says whether what lies there is what the sources give; `make lint` asks that where node is.
import { readFile, writeFile } from "node:fs/promises";
import { resolve } from "node:path";
import { build } from "esbuild";

// What is built of which source. A further page is a further row or two.
const BUNDLES = [
  { from: "src/main.ts", to: "../flows/page/page.js" },
  { from: "src/page.css", to: "../flows/page/page.css" },
  { from: "src/served/app.ts", to: "../flows/page/served.js" },
  { from: "src/served/app.css", to: "../flows/page/served.css" },
  { from: "src/served/back.ts", to: "../flows/page/back.js" },
];
// Fonts that the poster is lettered with; the page's are within its style.
const COPIES = [
  { from: "@fontsource/instrument-serif/files/instrument-serif-latin-400-normal.woff2", to: "../flows/page/serif.woff2" },
  { from: "@fontsource/instrument-serif/files/instrument-serif-latin-ext-400-normal.woff2", to: "../flows/page/serif-ext.woff2" },
  { from: "@fontsource-variable/instrument-sans/files/instrument-sans-latin-wght-normal.woff2", to: "../flows/page/sans.woff2" },
  { from: "@fontsource-variable/instrument-sans/files/instrument-sans-latin-ext-wght-normal.woff2", to: "../flows/page/sans-ext.woff2" },
];
const HERE = import.meta.dirname;
const FONTS = ["@fontsource/instrument-serif", "@fontsource-variable/instrument-sans"];
const COMMON = { absWorkingDir: HERE, bundle: true, minify: true, write: false, charset: "ascii", legalComments: "none", logLevel: "warning" };
const SCRIPT = { format: "iife", target: "es2022" };
const STYLE = { loader: { ".woff2": "dataurl" }, target: ["chrome111", "firefox114", "safari16.4"] };

async function bundle({ from, to }) {
  const built = await build({ ...COMMON, ...(from.endsWith(".css") ? STYLE : SCRIPT), entryPoints: [from] });
  return [to, Buffer.from(built.outputFiles[0].contents)];
}

async function licences() {
  const texts = await Promise.all(FONTS.map((name) => readFile(resolve(HERE, "node_modules", name, "LICENSE"), "utf8")));
  return Buffer.from(`The fonts in page.css and *.woff2, Instrument Serif and Instrument Sans:\n\n${texts.join("\n")}`);
}

async function copy({ from, to }) {
  return [to, await readFile(resolve(HERE, "node_modules", from))];
}

async function stale([path, data]) {
  const there = await readFile(resolve(HERE, path)).catch(() => Buffer.alloc(0));
  if (there.equals(data)) return false;
  console.error(`${path.slice(3)} is not what web/src gives: run \`make web\``);
  return true;
}

async function put([path, data]) {
  await writeFile(resolve(HERE, path), data);
  console.log(`${path.slice(3)}: ${(data.length / 1000).toFixed(1)} kB`);
}

const files = [...(await Promise.all([...BUNDLES.map(bundle), ...COPIES.map(copy)])), ["../flows/page/fonts-licence.txt", await licences()]];
if (process.argv.includes("--check")) process.exitCode = (await Promise.all(files.map(stale))).some(Boolean) ? 1 : 0;
else for (const file of files) await put(file);
