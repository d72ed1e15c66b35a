#!/usr/bin/env node
// Writes artifacts/<Contract>.json: name, ABI and bytecode, which is all that users of the contracts need to deploy
// and call them without a Solidity compiler. With --check it writes nothing and fails when a committed file differs.
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const CONTRACTS = [
  "SequencerRegistry",
  "BatchInbox",
  "Slasher",
  "Liveness",
  "DelegationVault",
  "DelegationVaultFactory",
  "DevToken",
];
const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const check = process.argv.includes("--check");

// A build of its own, from nothing and of src alone, so that neither a cache nor a test can shape the result.
const build = mkdtempSync(join(tmpdir(), "baton-artifacts-"));
const stale = [];
try {
  const out = join(build, "out");
  execFileSync(
    join(root, "node_modules", ".bin", "forge"),
    ["build", "--root", root, "--out", out, "--cache-path", join(build, "cache"), "--force", "--skip", "test"],
    { cwd: root, stdio: ["ignore", "ignore", "inherit"] },
  );
  mkdirSync(join(root, "artifacts"), { recursive: true });
  for (const name of CONTRACTS) {
    const full = JSON.parse(readFileSync(join(out, `${name}.sol`, `${name}.json`), "utf8"));
    const slim = {
      contractName: name,
      abi: full.abi,
      bytecode: { object: full.bytecode.object },
      deployedBytecode: { object: full.deployedBytecode.object },
    };
    const text = `${JSON.stringify(slim, null, 2)}\n`;
    const path = join(root, "artifacts", `${name}.json`);
    if (!check) {
      writeFileSync(path, text);
    } else if (readCommitted(path) !== text) {
      stale.push(`artifacts/${name}.json`);
    }
  }
} finally {
  rmSync(build, { recursive: true, force: true });
}
if (stale.length > 0) {
  console.error(`stale: ${stale.join(", ")}. Run \`npm run artifacts\` in contracts/ and commit the result.`);
  process.exit(1);
}

function readCommitted(path) {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (error.code === "ENOENT") return null;
    throw error;
  }
}
