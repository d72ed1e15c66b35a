#!/usr/bin/env node
// Runs `forge test` with the arguments given, and compares what transactions cost now with snapshots/gas.json: it fails when
// one costs more than 3 % more than there, or when the two do not name the same transactions. A change within that is not
// written down, so that many small ones cannot add up unseen; `npm run gas` writes the file anew.
import { spawnSync } from "node:child_process";
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const WORSE_MAX = 1.03;
const root = fileURLToPath(new URL("..", import.meta.url));
const folder = join(root, "cache", "gas");

rmSync(folder, { recursive: true, force: true });
const ran = spawnSync(join(root, "node_modules", ".bin", "forge"), ["test", ...process.argv.slice(2)], {
  cwd: root,
  stdio: "inherit",
  env: { ...process.env, FOUNDRY_SNAPSHOTS: folder },
});
if (ran.status !== 0) process.exit(ran.status ?? 1);

const read = (path) => JSON.parse(readFileSync(path, "utf8"));
const before = read(join(root, "snapshots", "gas.json"));
const now = read(join(folder, "gas.json"));
let worse = false;
for (const name of [...new Set([...Object.keys(before), ...Object.keys(now)])].sort()) {
  if (before[name] === now[name]) continue;
  const fails = !(name in before) || !(name in now) || Number(now[name]) > WORSE_MAX * Number(before[name]);
  worse ||= fails;
  console.log(`${fails ? "FAIL " : ""}gas of ${name}: ${before[name] ?? "none"} -> ${now[name] ?? "none"}`);
}
if (worse) {
  console.error("gas is worse by more than 3 %, or of other transactions; `npm run gas` writes snapshots/gas.json anew");
  process.exit(1);
}
