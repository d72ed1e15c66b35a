#!/usr/bin/env node
// Measures with `forge coverage` which branches of src/ the tests take, and fails when it is not more than 95 %. Gas and
// invariants are left out: the build that is measured is not optimized. About five minutes, so not part of CI.
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const BRANCHES_MIN = 95;
const root = fileURLToPath(new URL("..", import.meta.url));
const ran = spawnSync(
  join(root, "node_modules", ".bin", "forge"),
  ["coverage", "--report", "summary", "--no-match-contract", "GasTest|Invariant", "--no-match-coverage", "test|script|node_modules"],
  { cwd: root, encoding: "utf8", maxBuffer: 1 << 28 },
);
if (ran.status !== 0) {
  console.error(ran.stdout, ran.stderr);
  process.exit(1);
}
for (const line of ran.stdout.split("\n")) if (/^\| (File|src\/|Total)/.test(line)) console.log(line);
const total = /^\| Total .*$/m.exec(ran.stdout)?.[0].split("|").at(4);
const branches = Number.parseFloat(total);
if (!(branches > BRANCHES_MIN)) {
  console.error(`branches: ${total}, but more than ${BRANCHES_MIN} % are asked for`);
  process.exit(1);
}
