#!/usr/bin/env node
// Holds tests and their .tree files together. Every X.t.sol under test/ has an X.tree beside it; every condition of the
// tree that has an outcome of its own ("it …") has a test named after it, and every test stands in its tree.
//
//   └── when the bond is too small        function test_RevertWhen_TheBondIsTooSmall()
//       └── it reverts
//   └── given four members                function test_Given_FourMembers()
//       └── it starts epoch 0
//   └── it is the same for everyone       function testFuzz_It_IsTheSameForEveryone()
//
// With --built it also makes sure that forge sees every one of them: `forge lint` after a change of src leaves a cache
// (forge 1.7.1) with which `forge test` runs only some of the files and calls that a success.
//
// A leaf that a test of another file covers would hide there, so conditions are unique within a file.
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../test", import.meta.url));
const problems = [];

const pascal = (words) =>
  words
    .replaceAll("'", "")
    .split(/[^A-Za-z0-9]+/)
    .filter(Boolean)
    .map((word) => word[0].toUpperCase() + word.slice(1))
    .join("");

/** Names of the tests that a tree asks for. */
function wanted(path) {
  const names = new Set();
  const open = []; // [{depth, text}]
  const outcomes = new Map(); // name of a condition -> its outcomes
  for (const line of readFileSync(path, "utf8").split("\n")) {
    const match = /^([\s│]*)(?:├──|└──)\s+(.*)$/.exec(line);
    if (!match) {
      open.length = 0;
      continue;
    }
    const depth = match[1].length;
    const text = match[2].trim();
    while (open.length > 0 && open.at(-1).depth >= depth) open.pop();
    const [kind, ...rest] = text.split(" ");
    if (kind === "it" && open.length === 0) {
      names.add(`It_${pascal(rest.join(" "))}`);
    } else if (kind === "it") {
      const condition = open.at(-1).text;
      outcomes.set(condition, [...(outcomes.get(condition) ?? []), rest.join(" ")]);
    } else if (kind === "when" || kind === "given") {
      open.push({ depth, text });
    } else {
      problems.push(`${path}: "${text}" starts with none of given, when, it`);
    }
  }
  for (const [condition, its] of outcomes) {
    const [kind, ...rest] = condition.split(" ");
    const reverts = its.every((it) => it.startsWith("reverts")) ? "Revert" : "";
    const name = `${reverts}${pascal(kind)}_${pascal(rest.join(" "))}`;
    if (names.has(name)) problems.push(`${path}: "${condition}" stands twice`);
    names.add(name);
  }
  return names;
}

function* testFiles(folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* testFiles(path);
    else if (entry.name.endsWith(".t.sol")) yield path;
  }
}

let tests = 0;
for (const path of testFiles(root)) {
  const tree = path.replace(/\.t\.sol$/, ".tree");
  if (!existsSync(tree)) {
    problems.push(`${tree} is missing`);
    continue;
  }
  const names = wanted(tree);
  const found = [...readFileSync(path, "utf8").matchAll(/function (?:test|testFuzz|invariant)_(\w+)\(/g)].map((m) => m[1]);
  tests += found.length;
  for (const name of names) if (!found.includes(name)) problems.push(`${tree}: no test for ${name}`);
  for (const name of found) if (!names.has(name)) problems.push(`${path}: ${name} stands in no tree`);
}
for (const problem of problems) console.error(problem.replace(`${root}/`, "test/"));
if (problems.length > 0) process.exit(1);
console.log(`${tests} tests stand in their trees`);

if (process.argv.includes("--built")) {
  if (built() !== tests) forge("build", "--force");
  const seen = built();
  if (seen !== tests) {
    console.error(`forge sees ${seen} of ${tests} tests`);
    process.exit(1);
  }
}

function built() {
  const files = Object.values(JSON.parse(forge("test", "--list", "--json")));
  return files.flatMap((contracts) => Object.values(contracts)).flat().length;
}

function forge(...args) {
  const folder = join(root, "..");
  const binary = join(folder, "node_modules", ".bin", "forge");
  return execFileSync(binary, args, { cwd: folder, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });
}
