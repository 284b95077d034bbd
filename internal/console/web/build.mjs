// Builds ../dist: one script, one style sheet and one early script for the theme, named
// after their content, and the page that loads them. Builds are reproducible: CI builds
// again and compares.
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const dist = join(here, "..", "dist");

const bundle = async (entry) => {
  const result = await build({
    absWorkingDir: here,
    entryPoints: [entry],
    bundle: true,
    minify: true,
    write: false,
    format: entry.endsWith("theme.ts") ? "iife" : "esm",
    target: ["chrome123", "firefox128", "safari17.5"],
    jsx: "automatic",
    jsxImportSource: "preact",
    legalComments: "none",
    charset: "utf8",
    logLevel: "warning",
  });
  return result.outputFiles[0].contents;
};

rmSync(dist, { recursive: true, force: true });
mkdirSync(join(dist, "assets"), { recursive: true });

const put = (name, extension, contents) => {
  const hash = createHash("sha256").update(contents).digest("hex").slice(0, 12);
  const path = `assets/${name}-${hash}.${extension}`;
  writeFileSync(join(dist, path), contents);
  return "/" + path;
};

const names = {
  STYLE: put("console", "css", await bundle("src/style.css")),
  THEME: put("theme", "js", await bundle("src/theme.ts")),
  SCRIPT: put("console", "js", await bundle("src/main.tsx")),
  ICON: put("icon", "svg", readFileSync(join(here, "src/icon.svg"))),
};
let page = readFileSync(join(here, "src/index.html"), "utf8");
for (const [name, path] of Object.entries(names)) page = page.replaceAll(`{{${name}}}`, path);
writeFileSync(join(dist, "index.html"), page);

const licence = readFileSync(join(here, "node_modules/preact/LICENSE"), "utf8");
writeFileSync(join(dist, "THIRD_PARTY.txt"), `The console contains Preact (https://preactjs.com):\n\n${licence}`);
