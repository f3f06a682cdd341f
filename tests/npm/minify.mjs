// Makes what the function serves as share-image.js, and its source map: node minify.mjs FOLDER
import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { minify } from "terser";

const source = fileURLToPath(new URL("../../web/share-image.js", import.meta.url));
const [folder] = process.argv.slice(2);

/**
 * Take the spaces out of a style sheet: terser leaves text as it is. Line breaks stay in the source, for
 * the map, as continuations, which are no part of the text; each follows one of { } ; , already.
 */
function squeezed(sheet) {
  return sheet
    .replace(/^ +/gm, "")
    .replace(/ *([{};,>+!]) */g, "$1")
    .replace(/: /g, ":")
    .replace(/;(\s*})/g, "$1")
    .replace(/\n/g, "\\\n");
}

const code = await readFile(source, "utf8");
const smaller = code.replace(/(?<=replaceSync\(`)[^`]*/, squeezed);
const made = await minify(
  { "share-image.js": smaller },
  {
    module: true,
    ecma: 2022,
    compress: { passes: 3, pure_getters: true, unsafe: true, keep_fargs: false },
    sourceMap: { filename: "share-image.js", includeSources: true },
  },
);
// The map shows the source as it is written: its lines are the same, columns within the sheet aside.
const map = { ...JSON.parse(made.map), sourcesContent: [code] };
await writeFile(`${folder}/share-image.min.js`, made.code);
await writeFile(`${folder}/share-image.min.js.map`, `${JSON.stringify(map)}\n`);
