// viem: writeContract, waitForTransactionReceipt, watchBlocks, sendTransactionSync and what else wallets built on it use.
import {
  BaseError,
  ContractFunctionRevertedError,
  InsufficientFundsError,
  NonceTooLowError,
  createPublicClient,
  createWalletClient,
  defineChain,
  http,
  parseEther,
  webSocket,
} from "viem";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";

import { fails, key, probe, rpc, run, same, socket } from "./kit.mjs";

const id = Number(await (await fetch(rpc(), {
  method: "POST",
  headers: { "content-type": "application/json" },
  body: JSON.stringify({ jsonrpc: "2.0", id: 1, method: "eth_chainId", params: [] }),
})).json().then(({ result }) => result));
const chain = defineChain({
  id,
  name: "Baton",
  nativeCurrency: { name: "Baton", symbol: "BATON", decimals: 18 },
  rpcUrls: { default: { http: [rpc()], webSocket: [socket()] } },
  contracts: { multicall3: { address: "0xcA11bde05977b3631167028862bE2a173976CA11" } },
});
const account = privateKeyToAccount(key());
const stranger = privateKeyToAccount(generatePrivateKey()).address;
const reader = createPublicClient({ chain, transport: http(), pollingInterval: 200 });
const wallet = createWalletClient({ chain, account, transport: http(), pollingInterval: 200 });
const { abi, bytecode } = probe();
const is = (kind) => (error) => error instanceof BaseError && error.walk((cause) => cause instanceof kind) !== null;
let address;

await run({
  async "a transfer is sent and its receipt waited for"() {
    const hash = await wallet.sendTransaction({ to: stranger, value: parseEther("2") });
    const receipt = await reader.waitForTransactionReceipt({ hash });
    same("status", receipt.status, "success");
    same("balance", await reader.getBalance({ address: stranger }), parseEther("2"));
    same("confirmations", (await reader.getTransactionConfirmations({ hash })) >= 1n, true);
  },

  async "a transfer is sent and answered with its receipt"() {
    const receipt = await wallet.sendTransactionSync({ to: stranger, value: 1n });
    same("status", receipt.status, "success");
    same("to", receipt.to, stranger.toLowerCase());
    same("by hash", (await reader.getTransactionReceipt({ hash: receipt.transactionHash })).blockHash, receipt.blockHash);
  },

  async "a contract is deployed and written to"() {
    const deployed = await reader.waitForTransactionReceipt({ hash: await wallet.deployContract({ abi, bytecode }) });
    address = deployed.contractAddress;
    const { request } = await reader.simulateContract({ account, address, abi, functionName: "set", args: [5n, "by viem"] });
    const receipt = await reader.waitForTransactionReceipt({ hash: await wallet.writeContract(request) });
    same("value", await reader.readContract({ address, abi, functionName: "value" }), 5n);
    const range = { fromBlock: receipt.blockNumber, toBlock: receipt.blockNumber };
    const events = await reader.getContractEvents({ address, abi, eventName: "Set", ...range });
    same("events", events.map((event) => event.args.note), ["by viem"]);
  },

  async "why a call reverts is told"() {
    const call = { account, address, abi, functionName: "failCustom", args: [9n] };
    const error = await fails("an error", () => reader.simulateContract(call), is(ContractFunctionRevertedError));
    const { data } = error.walk((cause) => cause instanceof ContractFunctionRevertedError);
    same("error", [data.errorName, ...data.args], ["Refused", 9n, account.address]);
  },

  async "many calls go as one"() {
    const one = { address, abi, functionName: "value" };
    const results = await reader.multicall({ contracts: [one, { ...one, functionName: "calls", args: [account.address] }] });
    same("results", results.map(({ result }) => result), [5n, 1n]);
  },

  async "blocks are watched"() {
    for (const watcher of [reader, createPublicClient({ chain, transport: webSocket() })]) {
      const heights = [];
      let isDone = false;
      const watched = new Promise((resolve, reject) => {
        const unwatch = watcher.watchBlocks({
          emitMissed: true,
          onBlock({ number }) {
            heights.push(number);
            if (heights.length < 3) return;
            unwatch();
            resolve();
          },
          onError: reject,
        });
      }).finally(() => (isDone = true));
      // Blocks come by themselves on an idle chain; where they do not, these make some.
      while (!isDone) await wallet.sendTransactionSync({ to: stranger, value: 1n });
      await watched;
      same("different blocks", new Set(heights).size, heights.length);
    }
  },

  async "events are watched through a filter"() {
    const filter = await reader.createContractEventFilter({ address, abi, eventName: "Set" });
    await reader.waitForTransactionReceipt({
      hash: await wallet.writeContract({ address, abi, functionName: "set", args: [6n, "filtered"] }),
    });
    same("changes", (await reader.getFilterChanges({ filter })).map((event) => event.args.note), ["filtered"]);
    same("no more", await reader.getFilterChanges({ filter }), []);
    same("gone", await reader.uninstallFilter({ filter }), true);
  },

  async "fees, proofs, access lists and gas are estimated"() {
    const fees = await reader.estimateFeesPerGas();
    same("fees", fees.maxFeePerGas >= fees.maxPriorityFeePerGas, true);
    const history = await reader.getFeeHistory({ blockCount: 4, rewardPercentiles: [25, 75] });
    same("history", history.baseFeePerGas.length, history.gasUsedRatio.length + 1);
    const proof = await reader.getProof({ address, storageKeys: [`0x${"0".repeat(64)}`] });
    same("proven", proof.storageProof[0].value, 6n);
    const call = { account, to: stranger, value: 1n };
    same("gas", await reader.estimateGas(call), 21_000n);
    same("access list", (await reader.createAccessList(call)).accessList, []);
  },

  async "what the pool refuses is recognized"() {
    const used = { to: stranger, nonce: 0, gas: 21_000n };
    await fails("a used nonce", () => wallet.sendTransaction(used), is(NonceTooLowError));
    const poor = createWalletClient({ chain, account: privateKeyToAccount(generatePrivateKey()), transport: http() });
    const dear = { to: stranger, value: 1n, gas: 21_000n };
    await fails("more than one has", () => poor.sendTransaction(dear), is(InsufficientFundsError));
  },

  async "an account delegates to code (EIP-7702)"() {
    const authorization = await wallet.signAuthorization({ contractAddress: address, executor: "self" });
    const hash = await wallet.sendTransaction({ authorizationList: [authorization], to: account.address, gas: 200_000n });
    same("status", (await reader.waitForTransactionReceipt({ hash })).status, "success");
    same("code", await reader.getCode({ address: account.address }), `0xef0100${address.slice(2)}`);
  },
});
