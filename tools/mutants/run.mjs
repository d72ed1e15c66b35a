#!/usr/bin/env node
// Breaks one safety check at a time in a scratch copy of HEAD, and sees the test fail that stands for it. Not part of
// `make test`: it compiles once for each mutant. `make mutants ARGS="quorum record"` tries those whose name contains a word.
// Everything is compiled in a folder of its own that is removed at the end. It starts with the dependencies that
// CARGO_TARGET_DIR holds, by hard link; what `make test` has not compiled before is compiled here. BATON_MUTANTS_TARGET names
// a folder to use and keep instead.
//
// A mutant is a file beside this one: what is broken, the test that must notice, and lines to replace.
//
//   A quorum counts heads instead of weight.
//   test: cargo baton-consensus --lib committee::tests::two_quorums_share_more_than_a_third
//   file: consensus/src/committee.rs
//   -        old lines, which stand exactly once in that file
//   +        new lines
//
// Lines that are gone, a test that is gone, a mutant that does not compile: each is an error of its own, for then nothing
// was shown. A mutant that survives is a missing test.
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** Seconds after which a test run counts as hanging. */
const SECONDS_MAX = 600;

const here = fileURLToPath(new URL(".", import.meta.url));
const root = join(here, "../..");
const home = mkdtempSync(join(tmpdir(), "baton-mutants-"));
const copy = join(home, "copy");
const target = process.env.BATON_MUTANTS_TARGET ?? join(home, "target");
let running;

function fail(message) {
  throw new Error(message);
}

/** Reads what a mutant file says: {name, what, test, edits: [{file, before, after}]}. */
function parse(name) {
  const mutant = { name: name.replace(/\.mutant$/, ""), what: "", test: undefined, edits: [] };
  const lines = readFileSync(join(here, name), "utf8").trimEnd().split("\n");
  let file, last;
  for (const line of lines) {
    const [, key, value] = /^(test|file): (.*)$/.exec(line) ?? [];
    if (key === "test") mutant.test = readTest(value, name);
    else if (key === "file") file = value;
    else if (file === undefined) mutant.what = `${mutant.what} ${line}`.trim();
    else if (line.startsWith("-")) {
      if (last !== "-") mutant.edits.push({ file, before: [], after: [] });
      mutant.edits.at(-1).before.push(line.slice(1));
    } else if (line.startsWith("+") && last !== undefined) mutant.edits.at(-1).after.push(line.slice(1));
    else if (line !== "") fail(`${name}: what is this line? ${line}`);
    last = file === undefined || key === "file" || line === "" ? undefined : line[0];
  }
  if (!mutant.what || !mutant.test || mutant.edits.length === 0) fail(`${name}: a sentence, a test, a file and an edit`);
  return mutant;
}

/** A test's command, and how its output names it when it has run and when it has failed. */
function readTest(text, name) {
  const [tool, where, ...rest] = text.split(" ");
  const test = rest.at(-1);
  const escaped = test.replaceAll(/[^\w:]/g, "");
  if (tool === "cargo") {
    const args = ["test", "--locked", "--package", where, ...rest.slice(0, -1), "--", "--exact", test];
    const failed = new RegExp(`^test ${escaped} (.* )?\\.\\.\\. .*FAILED$|^    ${escaped}$`, "m");
    return { test, command: ["cargo", args, copy], passed: /^test result: ok\. 1 passed/m, failed };
  }
  if (tool === "forge") {
    const args = ["test", "--match-path", where, "--match-test", `^${test}\\(`];
    const forge = join(copy, "contracts/node_modules/.bin/forge");
    const failed = new RegExp(`^\\[FAIL.*\\] ${escaped}\\(`, "m");
    return { test, command: [forge, args, join(copy, "contracts")], passed: /^Suite result: ok\. 1 passed/m, failed };
  }
  return fail(`${name}: no such tool: ${tool}`);
}

/** Runs a command and returns its exit code and all that it printed. */
function run([program, args, cwd]) {
  return new Promise((resolve, reject) => {
    const env = { ...process.env, CARGO_TARGET_DIR: target, CARGO_TERM_COLOR: "never", RUST_BACKTRACE: "0" };
    running = spawn(program, args, { cwd, env, stdio: ["ignore", "pipe", "pipe"], detached: true });
    let output = "";
    for (const stream of [running.stdout, running.stderr]) stream.on("data", (data) => (output += data));
    const clock = setTimeout(() => stop(), SECONDS_MAX * 1000);
    running.on("error", reject);
    running.on("close", (code) => {
      clearTimeout(clock);
      running = undefined;
      resolve({ code, output });
    });
  });
}

/** Ends the running command and what it has started. */
function stop() {
  if (running?.pid) process.kill(-running.pid, "SIGKILL");
}

async function git(...args) {
  const { code, output } = await run(["git", args, root]);
  if (code !== 0) fail(`git ${args.join(" ")}: ${output}`);
  return output;
}

/** Links what is compiled of other people's crates into our own folder. Cargo replaces files that it writes, but for small
 * ones, and those of our crates are made anew: these are copied or left out. Where links are not to be had, everything is
 * compiled here. */
async function linkDependencies(from) {
  const script = `set -e; mkdir -p "$1/debug"; cp -al "$0"/debug/{deps,build,.fingerprint} "$1/debug/"
    find "$1/debug" -name '*baton*' -type f -delete
    find "$1/debug" -type f -size -64k -print0 | xargs -0 -r -n 500 bash -c 'for f; do cp -p "$f" "$f~"; mv -f "$f~" "$f"; done' copies
    find "$1/debug/deps" -type f -size +20M ! -name '*.*' -delete
    cp "$0/.rustc_info.json" "$1/"`;
  const { code, output } = await run(["bash", ["-c", script, from, target], root]);
  if (code !== 0) console.log(`the compiled dependencies cannot be linked, so they are compiled again: ${output.trim()}`);
}

/** Applies a mutant's edits, and returns how to take them back. */
function apply({ name, edits }) {
  const originals = new Map();
  for (const { file, before, after } of edits) {
    const path = join(copy, file);
    const text = readFileSync(path, "utf8");
    if (!originals.has(path)) originals.set(path, text);
    const parts = text.split(`${before.join("\n")}\n`);
    if (parts.length !== 2) fail(`${name}: in ${file} these lines stand ${parts.length - 1} times:\n${before.join("\n")}`);
    writeFileSync(path, parts.join(after.map((line) => `${line}\n`).join("")));
  }
  return () => originals.forEach((text, path) => writeFileSync(path, text));
}

const seconds = (since) => `${Math.round((Date.now() - since) / 1000)} s`;

async function main() {
  const words = process.argv.slice(2);
  const names = readdirSync(here).filter((name) => name.endsWith(".mutant"));
  const wanted = names.filter((name) => words.length === 0 || words.some((word) => name.includes(word)));
  const mutants = wanted.sort().map(parse);
  if (mutants.length === 0) fail(`no mutant has one of these words in its name: ${words.join(" ")}`);
  if (!existsSync(join(root, "contracts/node_modules"))) fail("contracts/node_modules is missing: make setup");
  await git("worktree", "add", "--quiet", "--detach", copy, "HEAD");
  symlinkSync(join(root, "contracts/node_modules"), join(copy, "contracts/node_modules"));

  const start = Date.now();
  const compiled = process.env.CARGO_TARGET_DIR;
  if (!process.env.BATON_MUTANTS_TARGET && compiled && existsSync(join(compiled, "debug/deps"))) await linkDependencies(compiled);
  for (const mutant of mutants) apply(mutant)();
  console.log(`${mutants.length} mutants; first their tests, on the code as it is`);
  const tests = new Map(mutants.map(({ test }) => [test.test, test]));
  for (const { test, command, passed } of tests.values()) {
    const { code, output } = await run(command);
    if (code !== 0 || !passed.test(output)) fail(`${test} does not pass as it is:\n${output}`);
  }
  console.log(`${tests.size} tests pass in ${seconds(start)}\n`);

  const survivors = [];
  const width = Math.max(...mutants.map(({ name }) => name.length));
  for (const mutant of mutants) {
    const since = Date.now();
    const undo = apply(mutant);
    const { code, output } = await run(mutant.test.command);
    undo();
    const killed = mutant.test.failed.test(output);
    const survived = code === 0 && mutant.test.passed.test(output);
    if (!killed && !survived) fail(`${mutant.name} shows nothing, it does not compile or hangs:\n${output}`);
    if (survived) survivors.push(mutant);
    const verdict = killed ? "killed by" : "SURVIVES ";
    console.log(`${mutant.name.padEnd(width)}  ${verdict} ${mutant.test.test.replace(/^.*::/, "")} (${seconds(since)})`);
  }
  const summary = `${mutants.length - survivors.length} of ${mutants.length} mutants are killed, in ${seconds(start)}`;
  console.log(`\n${summary}`);
  for (const { name, what } of survivors) console.log(`${name} survives: ${what}`);
  return survivors.length === 0 ? 0 : 1;
}

async function cleanUp() {
  await git("worktree", "remove", "--force", copy).catch(() => {});
  rmSync(home, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 });
}

// Stopping what runs makes `main` fail, and whatever becomes of it, the copy goes away.
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, stop);
const code = await main().catch((error) => {
  console.error(`mutants: ${error.message}`);
  return 1;
});
await cleanUp();
process.exitCode = code;
