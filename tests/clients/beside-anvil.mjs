// Makes the same history on a Baton chain and on anvil, asks both the same questions, and compares the answers: keys, kinds of
// values, codes and texts. Each difference has to stand in differences.json with its reason, and each that stands there has to
// be found. BATON_RPC and ANVIL_RPC name the two, of one chain id; BATON_KEY an account that is funded on both and never sent.
import { readFileSync } from "node:fs";
import { ContractFactory, Interface, JsonRpcProvider, Wallet, parseEther } from "ethers";

import { calls } from "./calls.mjs";
import { LIMIT_MS, inTime, key, probe, rpc } from "./kit.mjs";
import { differences, shape, wording } from "./shape.mjs";

const CALLS_MIN = 150;
const STRANGER = new Wallet(`0x${"5f".repeat(32)}`);
const { abi, bytecode } = probe();
const token = JSON.parse(readFileSync(new URL("../../contracts/artifacts/DevToken.json", import.meta.url), "utf8"));

/** Asks one question; the answer has `result` or `error`. */
async function ask(url, method, params) {
  const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method, params });
  const signal = AbortSignal.timeout(LIMIT_MS);
  const answer = await fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body, signal });
  return answer.json();
}

/** Asks for a receipt until there is one. */
async function receiptOf(provider, hash) {
  for (;;) {
    const receipt = await provider.getTransactionReceipt(hash);
    if (receipt) return receipt;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** Makes the history, and returns where everything in it is. */
async function history(url) {
  const provider = new JsonRpcProvider(url, undefined, { cacheTimeout: -1, batchMaxCount: 1 });
  const wallet = new Wallet(key(), provider);
  const { chainId } = await provider.getNetwork();
  const fees = { maxFeePerGas: 10n ** 10n, maxPriorityFeePerGas: 10n ** 9n };
  const [blocks, hashes, blockHashes] = [{}, {}, {}];
  let nonce = await wallet.getNonce();
  if (nonce !== 0) throw new Error(`the account of BATON_KEY has sent ${nonce} transactions on ${url}`);
  const send = async (name, transaction) => {
    const sent = await wallet.sendTransaction({ chainId, gasLimit: 1_500_000n, type: 2, ...fees, ...transaction, nonce });
    nonce += 1;
    const receipt = await inTime(name, receiptOf(provider, sent.hash));
    [blocks[name], hashes[name], blockHashes[name]] = [`0x${receipt.blockNumber.toString(16)}`, sent.hash, receipt.blockHash];
    return receipt;
  };
  const { contractAddress } = await send("probe", await new ContractFactory(abi, bytecode).getDeployTransaction());
  const deployed = await send("token", await new ContractFactory(token.abi, token.bytecode.object).getDeployTransaction());
  const call = (of, name, ...inner) => new Interface(of).encodeFunctionData(name, inner);
  await send("transfer", { to: STRANGER.address, value: parseEther("1"), gasLimit: 21_000n });
  const legacy = { type: 0, gasPrice: fees.maxFeePerGas, maxFeePerGas: undefined, maxPriorityFeePerGas: undefined };
  await send("legacy", { to: STRANGER.address, value: 1n, ...legacy });
  const accessList = [{ address: contractAddress, storageKeys: [`0x${"0".repeat(64)}`] }];
  await send("access list", { to: STRANGER.address, value: 1n, ...legacy, type: 1, accessList });
  await send("set", { to: contractAddress, data: call(abi, "set", 41n, "of both") });
  await send("mint", { to: deployed.contractAddress, data: call(token.abi, "mint", wallet.address, 1_000n) });
  await send("token transfer", { to: deployed.contractAddress, data: call(token.abi, "transfer", STRANGER.address, 10n) });
  await send("failing", { to: contractAddress, data: call(abi, "failEmpty") });
  const authorization = await wallet.authorize({ address: contractAddress, nonce: nonce + 1, chainId });
  await send("delegating", { type: 4, to: wallet.address, authorizationList: [authorization] });
  nonce += 1;

  const sign = (wallet, transaction) => wallet.signTransaction({ chainId, type: 2, gasLimit: 21_000n, to: STRANGER.address, ...fees, ...transaction });
  const refused = {
    "a used nonce": await sign(wallet, { nonce: 0 }),
    "another chain": await sign(wallet, { nonce, chainId: chainId + 1n }),
    "more than one has": await sign(STRANGER, { nonce: 0, value: parseEther("1000000") }),
    "too little gas": await sign(wallet, { nonce, gasLimit: 20_999n }),
    "too much gas": await sign(wallet, { nonce, gasLimit: 1n << 40n }),
    "code that is too long": await sign(wallet, { nonce, to: null, data: `0x${"00".repeat(49_153)}`, gasLimit: 15_000_000n }),
  };
  provider.destroy();
  const [me, stranger] = [wallet.address, STRANGER.address];
  return { me, stranger, probe: contractAddress, token: deployed.contractAddress, abi, bytecode, blocks, hashes, blockHashes, refused };
}

/** Lists how two answers differ. */
function compare(got, expected, { exact, block }) {
  if (("error" in got) !== ("error" in expected)) {
    const brief = (answer) => JSON.stringify(answer.error ?? shape(answer.result)).slice(0, 200);
    return [`answer: ${brief(got)}, anvil has ${brief(expected)}`];
  }
  if ("error" in got) {
    const found = [];
    const [one, other] = [got.error, expected.error];
    if (one.code !== other.code) found.push(`error.code: ${one.code}, anvil has ${other.code}`);
    if (wording(one.message) !== wording(other.message)) found.push(`error.message: ${one.message}, anvil has ${other.message}`);
    const data = (error) => (exact ? error.data : shape(error.data ?? null));
    if (JSON.stringify(data(one)) !== JSON.stringify(data(other))) {
      found.push(`error.data: ${JSON.stringify(one.data)}, anvil has ${JSON.stringify(other.data)}`);
    }
    return found;
  }
  if (!exact) {
    const found = differences(shape(got.result), shape(expected.result));
    return block ? found.filter((one) => !one.startsWith("result.transactions")) : found;
  }
  const [one, other] = [got, expected].map(({ result }) => JSON.stringify(result));
  return one === other ? [] : [`result: ${one.slice(0, 200)}, anvil has ${other.slice(0, 200)}`];
}

const anvil = process.env.ANVIL_RPC;
if (!anvil) throw new Error("set ANVIL_RPC");
const [ours, theirs] = [await history(rpc()), await history(anvil)];
const [asked, expected] = [calls(ours), calls(theirs)];
const intended = JSON.parse(readFileSync(new URL("differences.json", import.meta.url), "utf8"));
const found = new Set();
let unexplained = 0;
for (const [place, [name, method, parameters, how]] of asked.entries()) {
  const got = await ask(rpc(), method, parameters);
  const [, , theirParameters] = expected[place];
  for (const difference of compare(got, await ask(anvil, method, theirParameters), how)) {
    const reason = intended.findIndex((one) => new RegExp(one.call).test(`${method}: ${name}`) && difference.startsWith(one.difference));
    found.add(reason);
    if (reason >= 0) continue;
    unexplained += 1;
    console.error(`DIFFERS ${method}: ${name}\n    ${difference}`);
  }
}
for (const [place, one] of intended.entries()) {
  if (found.has(place)) continue;
  unexplained += 1;
  console.error(`NOT FOUND in differences.json: ${one.call}: ${one.difference}`);
}
if (asked.length < CALLS_MIN) {
  unexplained += 1;
  console.error(`only ${asked.length} calls, at least ${CALLS_MIN} are to be compared`);
}
console.log(`${asked.length} calls compared, ${intended.length} intended differences, ${unexplained} unexplained`);
process.exit(unexplained === 0 ? 0 : 1);
