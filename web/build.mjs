// Builds the page into the folder given (../app/explorer when left out): hashed names, minified, no source maps.
import { build } from "esbuild";
import { copyFile, mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { basename, join, resolve } from "node:path";

const out = resolve(process.argv[2] ?? "../app/explorer");

const common = {
  bundle: true,
  minify: true,
  metafile: true,
  target: "es2022",
  legalComments: "none", // licences() below keeps the texts themselves
  outdir: out,
  entryNames: "[name]-[hash]",
  assetNames: "[name]-[hash]",
  publicPath: "/explorer",
  define: { "process.env.NODE_ENV": '"production"' },
  logLevel: "warning",
};

const workers = {
  editor: "monaco-editor/esm/vs/editor/editor.worker.js",
  json: "monaco-editor/esm/vs/language/json/json.worker.js",
  graphql: "monaco-graphql/esm/graphql.worker.js",
};

/** The address of the one output of that extension made from an entry point. */
function address(metafile, extension) {
  const [name] = Object.keys(metafile.outputs).filter((path) => path.endsWith(extension));
  return `/explorer/${basename(name)}`;
}

/** The licence texts of every package that went into the outputs, as their licences ask for. */
async function licences(metafiles) {
  const inputs = metafiles.flatMap(({ inputs }) => Object.keys(inputs));
  const folders = new Set(inputs.map((path) => path.match(/^.*node_modules\/(?:@[^/]+\/)?[^/]+/)?.[0]).filter(Boolean));
  const texts = [...folders].sort().map(async (folder) => {
    const { name, version, license } = JSON.parse(await readFile(join(folder, "package.json"), "utf8"));
    const files = (await readdir(folder)).filter((file) => /^(licen[cs]e|third-?party-?notices)/i.test(file));
    const bodies = await Promise.all(files.map((file) => readFile(join(folder, file), "utf8")));
    return [`${name} ${version} (${license})`, ...bodies].join("\n\n");
  });
  return (await Promise.all(texts)).join(`\n\n${"-".repeat(80)}\n\n`);
}

await rm(out, { recursive: true, force: true });
await mkdir(out, { recursive: true });

const metafiles = [];
const addresses = {};
for (const [label, entry] of Object.entries(workers)) {
  const { metafile } = await build({ ...common, entryPoints: { [`${label}.worker`]: entry }, format: "iife" });
  metafiles.push(metafile);
  addresses[label] = address(metafile, ".js");
}

const { metafile } = await build({
  ...common,
  entryPoints: { main: "src/main.jsx" },
  format: "esm",
  jsx: "automatic",
  loader: { ".graphql": "text", ".json": "text", ".ttf": "file" },
  define: { ...common.define, WORKERS: JSON.stringify(addresses) },
});
metafiles.push(metafile);

const page = (await readFile("src/index.html", "utf8"))
  .replace("{{style}}", address(metafile, ".css"))
  .replace("{{script}}", address(metafile, ".js"));
await copyFile("src/favicon.svg", join(out, "favicon.svg"));
await writeFile(join(out, "licences.txt"), await licences(metafiles));
await writeFile(join(out, "index.html"), page); // last: a page is there only when all it names is
