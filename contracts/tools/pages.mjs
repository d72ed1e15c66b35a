#!/usr/bin/env node
// Holds README.md and the committed artifacts together: the page of each contract names every function, event and error that
// its ABI has, and where it gives names of arguments they are the ABI's. So what anybody can call is all on the page.
//
// Left out are what a standard says (ERC-20, ERC-4626) and the errors of libraries that are not ours.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const PAGES = {
  SequencerRegistry: "SequencerRegistry",
  BatchInbox: "BatchInbox",
  Slasher: "Slasher",
  Liveness: "Liveness",
  DelegationVault: "DelegationVault and DelegationVaultFactory",
  DelegationVaultFactory: "DelegationVault and DelegationVaultFactory",
};
/** Of ERC-20 and ERC-4626. */
const STANDARD = new Set(
  ("allowance approve asset balanceOf convertToAssets convertToShares decimals maxDeposit maxMint maxRedeem maxWithdraw name " +
    "previewDeposit previewMint previewRedeem previewWithdraw symbol totalAssets totalSupply transfer transferFrom Approval Transfer").split(" "),
);

const problems = [];
const pages = new Map(
  readFileSync(join(root, "README.md"), "utf8")
    .split(/^## /m)
    .map((page) => [page.slice(0, page.indexOf("\n")), page]),
);
for (const [contract, title] of Object.entries(PAGES)) {
  const page = pages.get(title);
  if (!page) {
    problems.push(`README.md has no page "${title}"`);
    continue;
  }
  const { abi } = JSON.parse(readFileSync(join(root, "artifacts", `${contract}.json`), "utf8"));
  for (const item of abi) {
    if (!["function", "event", "error"].includes(item.type) || STANDARD.has(item.name)) continue;
    if (item.type === "error" && !item.name.includes("__")) continue;
    const name = item.type === "error" ? item.name.slice(item.name.indexOf("__") + 2) : item.name;
    // Errors of one contract stand on its page without the prefix.
    const mentions = [...page.matchAll(new RegExp(`(?<![A-Za-z_])(?:[A-Za-z0-9]+__)?${name}(?![A-Za-z_])(\\(([a-zA-Z_, ]*)\\))?`, "g"))];
    if (mentions.length === 0) {
      problems.push(`${title}: ${item.type} ${name} is not named`);
      continue;
    }
    const told = item.inputs.map((input) => input.name.replace(/_$/, "")).join(", ");
    const given = mentions.map((mention) => mention[2]).filter((list) => list !== undefined);
    const overloads = abi.filter((other) => other.type === item.type && other.name === item.name).length > 1;
    if (!overloads && given.length > 0 && !given.includes(told)) {
      problems.push(`${title}: ${item.type} ${name}(${given[0]}) is ${name}(${told})`);
    }
  }
}
for (const problem of problems) console.error(problem);
if (problems.length > 0) process.exit(1);
console.log("pages: every function, event and error of the contracts has its place in README.md");
