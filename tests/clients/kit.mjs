// What the scripts here share: who they talk to, the contract that they deploy, and how they say what went wrong.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const setting = (name) => {
  const value = process.env[name];
  if (!value) throw new Error(`set ${name}`);
  return value;
};

/** Endpoints, and the secret key of a funded account that nobody else uses. */
export const rpc = () => setting("BATON_RPC");
export const socket = () => setting("BATON_WS");
export const key = () => setting("BATON_KEY");

/** Longest wait for anything, in milliseconds; what is well takes a fraction of it. */
export const LIMIT_MS = 120_000;

/** Compiles Probe.sol with the compiler of contracts/. */
export function probe() {
  const solc = createRequire(new URL("../../contracts/package.json", import.meta.url))("solc");
  const content = readFileSync(new URL("Probe.sol", import.meta.url), "utf8");
  const settings = {
    evmVersion: "osaka",
    optimizer: { enabled: true, runs: 200 },
    metadata: { bytecodeHash: "none", appendCBOR: false },
    outputSelection: { "*": { "*": ["abi", "evm.bytecode.object"] } },
  };
  const input = { language: "Solidity", sources: { "Probe.sol": { content } }, settings };
  const output = JSON.parse(solc.compile(JSON.stringify(input)));
  const problems = (output.errors ?? []).map((error) => error.formattedMessage);
  if (problems.length > 0) throw new Error(problems.join("\n"));
  const { abi, evm } = output.contracts["Probe.sol"].Probe;
  return { abi, bytecode: `0x${evm.bytecode.object}` };
}

/** Fails unless two values are the same. Numbers of all kinds are compared as numbers. */
export function same(what, got, expected) {
  const plain = (value) => JSON.stringify(value, (_, inner) => (typeof inner === "bigint" ? Number(inner) : inner));
  if (plain(got) !== plain(expected)) throw new Error(`${what}: got ${plain(got)}, expected ${plain(expected)}`);
}

/** Fails unless `action` fails with what `test` accepts; returns the error. */
export async function fails(what, action, test) {
  const error = await action().then(
    (value) => {
      throw new Error(`${what}: got ${String(value)}, expected an error`);
    },
    (reason) => reason,
  );
  if (!test(error)) throw new Error(`${what}: another error than expected`, { cause: error });
  return error;
}

/** Resolves as `promise` does, or fails after the limit. */
export function inTime(what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: nothing within ${LIMIT_MS} ms`)), LIMIT_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Runs steps in order, says which is done, and ends the process. */
export async function run(steps) {
  for (const [name, step] of Object.entries(steps)) {
    try {
      await inTime(name, step());
    } catch (error) {
      console.error(`FAILED ${name}`);
      console.error(error);
      process.exit(1);
    }
    console.log(`ok ${name}`);
  }
  process.exit(0);
}
