#!/usr/bin/env node
// Runs slither over src/ and fails on a finding that SLITHER.md does not answer. Not part of CI, which installs nothing from
// PyPI: `pip install slither-analyzer==0.11.6` into an environment of its own, then `SLITHER=…/bin/slither npm run slither`.
//
// A finding is known by its detector and by what it is about: contract and function, not the line, so that an answer outlives
// changes around it. In SLITHER.md a row `| detector | Contract.function, … | answer |` answers it; `*` stands for all.
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const bin = join(root, "node_modules", ".bin");
// slither asks forge for its configuration.
const env = { ...process.env, PATH: `${bin}${delimiter}${process.env.PATH}` };
const build = mkdtempSync(join(tmpdir(), "baton-slither-"));
try {
  const out = join(build, "out");
  run(join(bin, "forge"), ["build", "--build-info", "--force", "--skip", "test", "--out", out, "--cache-path", join(build, "cache")]);
  const report = join(build, "report.json");
  // It exits with another code than 0 when it finds something; what counts is the report.
  const ran = spawnSync(
    process.env.SLITHER ?? "slither",
    [".", "--ignore-compile", "--foundry-out-directory", out, "--filter-paths", "node_modules|test|script", "--json", report],
    { cwd: root, env, encoding: "utf8" },
  );
  if (ran.error || !existsSync(report)) {
    console.error(ran.error?.message ?? ran.stderr);
    process.exit(1);
  }
  judge(JSON.parse(readFileSync(report, "utf8")));
} finally {
  rmSync(build, { recursive: true, force: true });
}

function judge(report) {
  if (!report.success) throw new Error(report.error);
  const answers = readAnswers();
  const used = new Set();
  let unanswered = 0;
  const findings = report.results.detectors ?? [];
  for (const finding of findings) {
    const about = subject(finding.elements[0]);
    const key = [`${finding.check} ${about}`, `${finding.check} *`].find((key) => answers.has(key));
    if (key) {
      used.add(key);
      continue;
    }
    unanswered += 1;
    console.error(`${finding.impact} ${finding.check} ${about}: ${finding.description.trim()}\n`);
  }
  for (const key of answers) if (!used.has(key)) console.log(`no longer found: ${key}`);
  console.log(`${findings.length} findings, ${unanswered} without an answer in SLITHER.md`);
  if (unanswered !== 0) process.exitCode = 1;
}

/** Contract and function that a finding is about. */
function subject(element) {
  const names = [element.name];
  for (let at = element; at.type_specific_fields?.parent; at = at.type_specific_fields.parent) {
    names.unshift(at.type_specific_fields.parent.name);
  }
  return names.slice(0, 2).join(".");
}

function readAnswers() {
  const answers = new Set();
  for (const line of readFileSync(join(root, "SLITHER.md"), "utf8").split("\n")) {
    const cells = /^\| ([a-z][a-z-]+) \| (.+?) \| .+ \|$/.exec(line);
    if (!cells || cells[1] === "detector") continue;
    for (const about of cells[2].split(", ")) answers.add(`${cells[1]} ${about.replaceAll("`", "")}`);
  }
  return answers;
}

function run(command, args) {
  const ran = spawnSync(command, args, { cwd: root, env, stdio: ["ignore", "ignore", "inherit"] });
  if (ran.status !== 0) process.exit(ran.status ?? 1);
}
