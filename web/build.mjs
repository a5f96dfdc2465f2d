// Builds flows/page/page.js and page.css; `node build.mjs --check` says whether what lies there is what the sources give.
import { readFile, writeFile } from "node:fs/promises";
import { build } from "esbuild";

const out = new URL("../flows/page/", import.meta.url);
const common = { bundle: true, minify: true, write: false, charset: "ascii", legalComments: "none", logLevel: "warning" };
const script = await build({ ...common, entryPoints: ["src/main.ts"], format: "iife", target: "es2022" });
const style = await build({ ...common, entryPoints: ["src/page.css"], loader: { ".woff2": "dataurl" }, target: ["chrome111", "firefox114", "safari16.4"] });
const licences = await Promise.all(
  ["@fontsource/instrument-serif", "@fontsource-variable/instrument-sans"].map((name) => readFile(`node_modules/${name}/LICENSE`, "utf8")),
);
const files = {
  "page.js": script.outputFiles[0].text,
  "page.css": style.outputFiles[0].text,
  "fonts-licence.txt": `The fonts in page.css, Instrument Serif and Instrument Sans:\n\n${licences.join("\n")}`,
};
let stale = 0;
for (const [name, text] of Object.entries(files)) {
  if (!process.argv.includes("--check")) {
    await writeFile(new URL(name, out), text);
    console.log(`${name}: ${(text.length / 1000).toFixed(1)} kB`);
  } else if ((await readFile(new URL(name, out), "utf8").catch(() => "")) !== text) {
    console.error(`flows/page/${name} is not what web/ gives: run \`make web\``);
    stale = 1;
  }
}
process.exitCode = stale;
