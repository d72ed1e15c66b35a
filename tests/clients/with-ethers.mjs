// ethers 6: send and wait, contracts, errors, events over a WebSocket.
import { Contract, ContractFactory, JsonRpcProvider, Wallet, WebSocketProvider, isError, parseEther } from "ethers";

import { fails, key, probe, rpc, run, same, socket } from "./kit.mjs";

// Answers are not kept for the quarter of a second that is the default: blocks come faster here.
const provider = new JsonRpcProvider(rpc(), undefined, { cacheTimeout: -1 });
const wallet = new Wallet(key(), provider);
const stranger = Wallet.createRandom();
const { abi, bytecode } = probe();
let contract;

await run({
  async "the network is detected"() {
    const network = await provider.getNetwork();
    same("chain id", network.chainId, BigInt(await provider.send("eth_chainId", [])));
  },

  async "a transfer is sent and waited for"() {
    const sent = await wallet.sendTransaction({ to: stranger.address, value: parseEther("1.5") });
    const receipt = await sent.wait();
    same("status", receipt.status, 1);
    same("gas", receipt.gasUsed, 21_000n);
    same("from", receipt.from, wallet.address);
    same("balance", await provider.getBalance(stranger.address), parseEther("1.5"));
    const block = await provider.getBlock(receipt.blockNumber, true);
    same("block's transactions", block.transactions.includes(sent.hash), true);
    same("by hash", (await provider.getTransaction(sent.hash)).blockHash, receipt.blockHash);
  },

  async "a contract is deployed"() {
    contract = await new ContractFactory(abi, bytecode, wallet).deploy();
    await contract.waitForDeployment();
    same("code", (await provider.getCode(contract.target)).length > 2, true);
  },

  async "it is called, and what it logs is found"() {
    const receipt = await (await contract.set(42n, "by ethers")).wait();
    same("value", await contract.value(), 42n);
    same("logs", receipt.logs.length, 1);
    const found = await contract.queryFilter(contract.filters.Set(wallet.address), receipt.blockNumber, receipt.blockNumber);
    same("found", found.map((log) => [log.transactionHash, log.args.note]), [[receipt.hash, "by ethers"]]);
    same("storage", BigInt(await provider.getStorage(contract.target, 0)), 42n);
  },

  async "why a call reverts is told"() {
    const reason = await fails("a reason", () => contract.failWith("no such luck"), (error) => isError(error, "CALL_EXCEPTION"));
    same("reason", reason.reason, "no such luck");
    const custom = await fails("an error", () => contract.failCustom(7n), (error) => isError(error, "CALL_EXCEPTION"));
    same("name", custom.revert.name, "Refused");
    same("arguments", [...custom.revert.args], [7n, wallet.address]);
    const panic = await fails("a panic", () => contract.panic(0n), (error) => isError(error, "CALL_EXCEPTION"));
    same("panic", panic.revert.name, "Panic");
  },

  async "a transaction that fails is paid for and says so"() {
    const sent = await wallet.sendTransaction({ to: contract.target, data: contract.interface.encodeFunctionData("failEmpty"), gasLimit: 100_000n });
    const error = await fails("the wait", () => sent.wait(), (reason) => isError(reason, "CALL_EXCEPTION"));
    same("status", error.receipt.status, 0);
  },

  async "what the pool refuses is recognized"() {
    const nonce = await wallet.getNonce();
    await fails("a used nonce", () => wallet.sendTransaction({ to: stranger.address, nonce: nonce - 1, gasLimit: 21_000n }), (error) => isError(error, "NONCE_EXPIRED"));
    const poor = stranger.connect(provider);
    const value = parseEther("1000");
    await fails("more than one has", () => poor.sendTransaction({ to: wallet.address, value, gasLimit: 21_000n }), (error) => isError(error, "INSUFFICIENT_FUNDS"));
    await fails("more than one has, estimated", () => poor.sendTransaction({ to: wallet.address, value }), (error) => isError(error, "INSUFFICIENT_FUNDS"));
  },

  async "legacy and access-list transactions are sent"() {
    for (const type of [0, 1]) {
      const receipt = await (await wallet.sendTransaction({ to: stranger.address, value: 1n, type })).wait();
      same("type", receipt.type, type);
    }
  },

  async "several in a row are final in order"() {
    const nonce = await wallet.getNonce();
    const sent = [];
    for (let next = nonce; next < nonce + 5; next += 1) {
      sent.push(await wallet.sendTransaction({ to: stranger.address, value: 1n, nonce: next, gasLimit: 21_000n }));
    }
    const receipts = await Promise.all(sent.map((one) => one.wait()));
    const places = receipts.map((receipt) => receipt.blockNumber * 10_000 + receipt.index);
    same("order", [...places].sort((one, other) => one - other), places);
  },

  async "events come over a WebSocket"() {
    const live = new WebSocketProvider(socket());
    const watched = new Contract(contract.target, abi, live);
    const heard = new Promise((resolve) => watched.on("Set", (by, value, note) => resolve([by, value, note])));
    const headed = new Promise((resolve) => live.on("block", resolve));
    await Promise.all([watched.listenerCount("Set"), live.getBlockNumber()]);
    await (await contract.set(43n, "live")).wait();
    same("event", await heard, [wallet.address, 43n, "live"]);
    same("a block", (await headed) > 0, true);
    await live.destroy();
  },
});
