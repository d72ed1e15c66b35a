// The calls that are made on both sides: what wallets, libraries, explorers and command-line tools were seen to send, and the
// mistakes that their users make. `world` is what the same history left on one of them.
import { Interface, zeroPadValue } from "ethers";

const NOWHERE = "0x00000000000000000000000000000000deadbeef";
const NO_HASH = `0x${"ab".repeat(32)}`;
const TAGS = ["latest", "earliest", "pending", "safe", "finalized"];

/**
 * Returns all calls as [name, method, parameters, how]: with `how.exact` the answers themselves are the same, with `how.block` only
 * one of them may hold transactions.
 */
export function calls(world) {
  const { me, stranger, probe, token, blocks, hashes, blockHashes } = world;
  const contract = new Interface(world.abi);
  const erc20 = new Interface(["function balanceOf(address) view returns (uint256)", "function transfer(address,uint256) returns (bool)", "function symbol() view returns (string)"]);
  const data = (name, ...inner) => contract.encodeFunctionData(name, inner);
  const exact = { exact: true };
  const list = [];
  const add = (name, method, parameters, how = {}) => list.push([name, method, parameters, how]);

  add("client version", "web3_clientVersion", []);
  add("hash of bytes", "web3_sha3", ["0x68656c6c6f"], exact);
  add("network id", "net_version", [], exact);
  add("listening", "net_listening", [], exact);
  add("chain id", "eth_chainId", [], exact);
  add("syncing", "eth_syncing", [], exact);
  add("height", "eth_blockNumber", []);
  add("gas price", "eth_gasPrice", []);
  add("priority fee", "eth_maxPriorityFeePerGas", []);
  add("accounts", "eth_accounts", []);
  add("modules", "rpc_modules", []);
  add("no such method", "eth_doesNotExist", []);
  add("no such namespace", "foo_bar", [1, 2]);
  add("coinbase", "eth_coinbase", []);
  add("parameters where none are taken", "eth_chainId", ["0x1"]);

  for (const tag of TAGS) {
    add(`nonce at ${tag}`, "eth_getTransactionCount", [me, tag]);
    add(`balance at ${tag}`, "eth_getBalance", [stranger, tag]);
    add(`block at ${tag}`, "eth_getBlockByNumber", [tag, false], { block: true });
  }
  add("nonce of nobody", "eth_getTransactionCount", [NOWHERE, "latest"], exact);
  add("balance of nobody", "eth_getBalance", [NOWHERE, "latest"], exact);
  add("balance of a stranger", "eth_getBalance", [stranger, "latest"], exact);
  add("balance before it came", "eth_getBalance", [stranger, blocks.probe], exact);
  add("balance at a block's hash", "eth_getBalance", [stranger, { blockHash: blockHashes.transfer }], exact);
  add("balance at a canonical hash", "eth_getBalance", [stranger, { blockHash: blockHashes.transfer, requireCanonical: true }], exact);
  add("balance at a number in an object", "eth_getBalance", [stranger, { blockNumber: blocks.transfer }], exact);
  add("balance at an unknown hash", "eth_getBalance", [stranger, { blockHash: NO_HASH }]);
  add("balance in the future", "eth_getBalance", [stranger, "0xfffffff"]);
  add("balance at a word", "eth_getBalance", [stranger, "tomorrow"]);
  add("balance of no address", "eth_getBalance", ["0x1234", "latest"]);
  add("balance of a word", "eth_getBalance", ["vitalik", "latest"]);
  add("balance of nothing", "eth_getBalance", []);
  add("balance without a block", "eth_getBalance", [stranger], exact);
  add("code", "eth_getCode", [probe, "latest"], exact);
  add("code before it was deployed", "eth_getCode", [probe, "earliest"], exact);
  add("code of an account", "eth_getCode", [stranger, "latest"], exact);
  add("code of nobody", "eth_getCode", [NOWHERE, "latest"], exact);
  add("slot", "eth_getStorageAt", [probe, "0x0", "latest"], exact);
  add("slot by 32 bytes", "eth_getStorageAt", [probe, zeroPadValue("0x00", 32), "latest"], exact);
  add("empty slot", "eth_getStorageAt", [probe, "0x99", "latest"], exact);
  add("slot of an account", "eth_getStorageAt", [stranger, "0x0", "latest"], exact);
  add("slot of 33 bytes", "eth_getStorageAt", [probe, `0x${"11".repeat(33)}`, "latest"]);

  add("block with hashes", "eth_getBlockByNumber", [blocks.transfer, false]);
  add("block with transactions", "eth_getBlockByNumber", [blocks.transfer, true]);
  add("genesis", "eth_getBlockByNumber", ["0x0", false]);
  add("block in the future", "eth_getBlockByNumber", ["0xfffffff", false], exact);
  add("block by hash", "eth_getBlockByHash", [blockHashes.transfer, false]);
  add("block by hash with transactions", "eth_getBlockByHash", [blockHashes.probe, true]);
  add("block by unknown hash", "eth_getBlockByHash", [NO_HASH, false], exact);
  add("block by half a hash", "eth_getBlockByHash", ["0xabcd", false]);
  add("block without the flag", "eth_getBlockByNumber", [blocks.transfer]);
  add("block by a decimal number", "eth_getBlockByNumber", ["12", false]);
  add("block with a leading zero", "eth_getBlockByNumber", ["0x01", false], { block: true });
  add("block with a wrong flag", "eth_getBlockByNumber", ["latest", "yes"]);
  add("receipts of a block", "eth_getBlockReceipts", [blocks.probe]);
  add("receipts of a block by hash", "eth_getBlockReceipts", [blockHashes.probe]);
  add("receipts of the future", "eth_getBlockReceipts", ["0xfffffff"]);
  add("count of a block", "eth_getBlockTransactionCountByNumber", [blocks.probe], exact);
  add("count of a block by hash", "eth_getBlockTransactionCountByHash", [blockHashes.probe], exact);
  add("count of an unknown block", "eth_getBlockTransactionCountByHash", [NO_HASH], exact);
  add("uncles", "eth_getUncleCountByBlockNumber", [blocks.probe], exact);
  add("uncles by hash", "eth_getUncleCountByBlockHash", [blockHashes.probe], exact);

  for (const [name, hash] of Object.entries(hashes)) {
    add(`transaction: ${name}`, "eth_getTransactionByHash", [hash]);
    add(`receipt: ${name}`, "eth_getTransactionReceipt", [hash]);
  }
  add("unknown transaction", "eth_getTransactionByHash", [NO_HASH], exact);
  add("unknown receipt", "eth_getTransactionReceipt", [NO_HASH], exact);
  add("transaction by a word", "eth_getTransactionByHash", ["0x12"]);
  add("transaction by place", "eth_getTransactionByBlockNumberAndIndex", [blocks.transfer, "0x0"]);
  add("transaction by hash and place", "eth_getTransactionByBlockHashAndIndex", [blockHashes.transfer, "0x0"]);
  add("transaction beyond the last", "eth_getTransactionByBlockNumberAndIndex", [blocks.transfer, "0x99"], exact);

  const call = (name, ...inner) => ({ from: me, to: probe, data: data(name, ...inner) });
  add("call", "eth_call", [call("value"), "latest"], exact);
  add("call without from", "eth_call", [{ to: probe, data: data("value") }, "latest"], exact);
  add("call with input", "eth_call", [{ to: probe, input: data("value") }, "latest"], exact);
  add("call with data and input", "eth_call", [{ to: probe, data: data("value"), input: data("value") }, "latest"], exact);
  add("call without a block", "eth_call", [call("value")], exact);
  add("call at an earlier block", "eth_call", [call("value"), blocks.probe], exact);
  add("call by hash", "eth_call", [call("value"), { blockHash: blockHashes.probe }], exact);
  add("call that sees sender, chain and balance", "eth_call", [call("calls", me), "latest"], exact);
  add("call of a token", "eth_call", [{ to: token, data: erc20.encodeFunctionData("symbol") }, "latest"], exact);
  add("call of a token's balance", "eth_call", [{ to: token, data: erc20.encodeFunctionData("balanceOf", [me]) }, "latest"], exact);
  add("call of nobody", "eth_call", [{ to: NOWHERE, data: "0x12345678" }, "latest"], exact);
  add("call that creates", "eth_call", [{ from: me, data: world.bytecode }, "latest"], exact);
  add("call that reverts with a reason", "eth_call", [call("failWith", "no such luck"), "latest"], exact);
  add("call that reverts with an error", "eth_call", [call("failCustom", 7), "latest"], exact);
  add("call that reverts with nothing", "eth_call", [call("failEmpty"), "latest"]);
  add("call that panics", "eth_call", [call("panic", 0), "latest"], exact);
  add("call of what is not there", "eth_call", [{ to: probe, data: "0xdeadbeef" }, "latest"]);
  add("call with too little gas", "eth_call", [{ ...call("set", 1, "x"), gas: "0x5300" }, "latest"]);
  add("call with more value than one has", "eth_call", [{ from: NOWHERE, to: stranger, value: "0x1" }, "latest"]);
  add("call with a fee below the base fee", "eth_call", [{ ...call("value"), gasPrice: "0x1" }, "latest"]);
  add("call with both kinds of fee", "eth_call", [{ ...call("value"), gasPrice: "0x77359400", maxFeePerGas: "0x77359400" }, "latest"]);
  add("call with a tip above its fee", "eth_call", [{ ...call("value"), maxFeePerGas: "0x77359400", maxPriorityFeePerGas: "0x77359401" }, "latest"]);
  add("call with an access list", "eth_call", [{ ...call("value"), accessList: [{ address: probe, storageKeys: [zeroPadValue("0x00", 32)] }] }, "latest"], exact);
  add("call in the future", "eth_call", [call("value"), "0xfffffff"]);
  add("call of an object that is none", "eth_call", ["nothing", "latest"]);
  add("call with bytes that are none", "eth_call", [{ to: probe, data: "0xzz" }, "latest"]);
  add("call with a changed balance", "eth_call", [{ from: NOWHERE, to: stranger, value: "0x1" }, "latest", { [NOWHERE]: { balance: "0xde0b6b3a7640000" } }], exact);
  add("call with changed code", "eth_call", [{ to: NOWHERE, data: "0x" }, "latest", { [NOWHERE]: { code: "0x602a60005260206000f3" } }], exact);
  add("call with a changed slot", "eth_call", [call("value"), "latest", { [probe]: { stateDiff: { [zeroPadValue("0x00", 32)]: zeroPadValue("0x63", 32) } } }], exact);

  add("estimate of a transfer", "eth_estimateGas", [{ from: me, to: stranger, value: "0x1" }], exact);
  add("estimate at latest", "eth_estimateGas", [{ from: me, to: stranger, value: "0x1" }, "latest"], exact);
  add("estimate of a call", "eth_estimateGas", [call("set", 77, "estimated")]);
  add("estimate of a contract", "eth_estimateGas", [{ from: me, data: world.bytecode }]);
  add("estimate of a revert", "eth_estimateGas", [call("failWith", "no such luck")], exact);
  add("estimate of an error", "eth_estimateGas", [call("failCustom", 7)], exact);
  add("estimate of more than one has", "eth_estimateGas", [{ from: NOWHERE, to: stranger, value: "0x1" }]);
  add("estimate with too little gas", "eth_estimateGas", [{ ...call("set", 1, "x"), gas: "0x5300" }]);
  add("access list of a call", "eth_createAccessList", [call("value"), "latest"]);
  add("access list of a transfer", "eth_createAccessList", [{ from: me, to: stranger, value: "0x1" }, "latest"]);
  add("transaction filled in", "eth_fillTransaction", [{ from: me, to: stranger, value: "0x1" }]);

  add("fee history", "eth_feeHistory", ["0x4", "latest", [20, 50]]);
  add("fee history without rewards", "eth_feeHistory", ["0x2", "latest", []]);
  add("fee history by a number", "eth_feeHistory", [2, "latest", [25]]);
  add("fee history of nothing", "eth_feeHistory", ["0x0", "latest", []]);
  add("fee history of falling percentiles", "eth_feeHistory", ["0x2", "latest", [50, 20]]);
  add("fee history above the hundredth", "eth_feeHistory", ["0x2", "latest", [101]]);

  const topic = contract.getEvent("Set").topicHash;
  const range = { fromBlock: blocks.probe, toBlock: "latest" };
  add("logs of a contract", "eth_getLogs", [{ ...range, address: probe }]);
  add("logs of several", "eth_getLogs", [{ ...range, address: [probe, token] }]);
  add("logs of a topic", "eth_getLogs", [{ ...range, topics: [topic] }]);
  add("logs of one of two topics", "eth_getLogs", [{ ...range, topics: [[topic, NO_HASH]] }]);
  add("logs of anything by me", "eth_getLogs", [{ ...range, topics: [null, zeroPadValue(me, 32)] }]);
  add("logs of no such topic", "eth_getLogs", [{ ...range, topics: [NO_HASH] }], exact);
  add("logs of a block", "eth_getLogs", [{ blockHash: blockHashes.set }]);
  add("logs of an unknown block", "eth_getLogs", [{ blockHash: NO_HASH }]);
  add("logs of a block and a range", "eth_getLogs", [{ blockHash: blockHashes.set, fromBlock: "0x1" }]);
  add("logs backwards", "eth_getLogs", [{ fromBlock: blocks.set, toBlock: "0x1" }]);
  add("logs of the latest block", "eth_getLogs", [{ address: NOWHERE }], exact);
  add("logs of a wrong address", "eth_getLogs", [{ ...range, address: "0x12" }]);

  const slot = zeroPadValue("0x00", 32);
  add("proof", "eth_getProof", [probe, [slot], "latest"]);
  add("proof of a short slot", "eth_getProof", [probe, ["0x0"], "latest"]);
  add("proof of nobody", "eth_getProof", [NOWHERE, [], "latest"]);
  add("proof of an account", "eth_getProof", [stranger, [], "latest"]);

  for (const [name, raw] of Object.entries(world.refused)) add(`refused: ${name}`, "eth_sendRawTransaction", [raw]);
  add("refused at once: a used nonce", "eth_sendRawTransactionSync", [world.refused["a used nonce"]]);
  add("bytes that are no transaction", "eth_sendRawTransaction", ["0x1234"]);
  add("no bytes", "eth_sendRawTransaction", ["0x"]);
  add("text that is no bytes", "eth_sendRawTransaction", ["hello"]);
  add("nothing sent", "eth_sendRawTransaction", []);

  add("pool's counts", "txpool_status", []);
  add("pool's content", "txpool_content", []);
  add("pool in words", "txpool_inspect", []);

  add("calls of a transaction", "debug_traceTransaction", [hashes.set, { tracer: "callTracer" }]);
  add("steps of a transaction", "debug_traceTransaction", [hashes.transfer, {}]);
  add("trace of an unknown transaction", "debug_traceTransaction", [NO_HASH, { tracer: "callTracer" }]);

  add("filter that is gone", "eth_getFilterChanges", ["0xdeadbeef"]);
  add("removal of a filter that is gone", "eth_uninstallFilter", ["0xdeadbeef"], exact);
  add("filter of logs", "eth_newFilter", [{ address: probe }]);
  add("filter of blocks", "eth_newBlockFilter", []);
  add("filter of pending transactions", "eth_newPendingTransactionFilter", []);
  add("subscription over HTTP", "eth_subscribe", ["newHeads"]);
  return list;
}

