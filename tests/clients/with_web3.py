"""web3.py: a transfer, a contract, its events, and what the pool refuses."""

import json
import os
import sys

from web3 import Web3
from web3.exceptions import ContractCustomError, ContractLogicError, Web3RPCError

LIMIT_S = 120

w3 = Web3(Web3.HTTPProvider(os.environ["BATON_RPC"], request_kwargs={"timeout": LIMIT_S}))
account = w3.eth.account.from_key(os.environ["BATON_KEY"])
stranger = w3.eth.account.create()
# What the compiler made of Probe.sol, which kit.mjs prints.
probe = json.load(sys.stdin)


def send(transaction):
    """Signs, sends, and waits for the receipt."""
    transaction = {"from": account.address, "nonce": w3.eth.get_transaction_count(account.address), "chainId": w3.eth.chain_id, **transaction}
    if "gas" not in transaction:
        transaction["gas"] = w3.eth.estimate_gas(transaction)
    if "gasPrice" not in transaction and "maxFeePerGas" not in transaction:
        tip = w3.eth.max_priority_fee
        transaction["maxPriorityFeePerGas"] = tip
        transaction["maxFeePerGas"] = tip + 2 * w3.eth.get_block("latest")["baseFeePerGas"]
    signed = account.sign_transaction(transaction)
    return w3.eth.wait_for_transaction_receipt(w3.eth.send_raw_transaction(signed.raw_transaction), timeout=LIMIT_S)


def step(name):
    print(f"ok {name}", flush=True)


assert w3.is_connected()
receipt = send({"to": stranger.address, "value": w3.to_wei(3, "ether")})
assert receipt["status"] == 1 and receipt["gasUsed"] == 21_000, receipt
assert w3.eth.get_balance(stranger.address) == w3.to_wei(3, "ether")
step("a transfer is sent and waited for")

receipt = send({"to": stranger.address, "value": 1, "gasPrice": w3.eth.gas_price})
assert receipt["type"] == 0 and receipt["status"] == 1, receipt
step("so is a legacy one")

factory = w3.eth.contract(abi=probe["abi"], bytecode=probe["bytecode"])
receipt = send({"data": factory.constructor().data_in_transaction})
contract = w3.eth.contract(address=receipt["contractAddress"], abi=probe["abi"])
step("a contract is deployed")

receipt = send({"to": contract.address, "data": contract.encode_abi("set", [11, "by web3.py"])})
assert contract.functions.value().call() == 11
events = contract.events.Set().get_logs(from_block=receipt["blockNumber"], to_block=receipt["blockNumber"])
assert [event["args"]["note"] for event in events] == ["by web3.py"], events
assert contract.events.Set().process_receipt(receipt)[0]["args"]["value"] == 11
step("it is called, and what it logs is found")

try:
    contract.functions.failWith("no such luck").call()
    raise AssertionError("it must revert")
except ContractLogicError as error:
    assert "no such luck" in str(error), error
try:
    contract.functions.failCustom(3).call({"from": account.address})
    raise AssertionError("it must revert")
except ContractCustomError as error:
    assert error.data.startswith(Web3.to_hex(Web3.keccak(text="Refused(uint256,address)")[:4])), error.data
step("why a call reverts is told")

block = w3.eth.get_block(receipt["blockNumber"], full_transactions=True)
assert any(one["hash"] == receipt["transactionHash"] for one in block["transactions"]), block
assert w3.eth.get_transaction(receipt["transactionHash"])["blockNumber"] == receipt["blockNumber"]
assert w3.eth.fee_history(4, "latest", [50])["baseFeePerGas"]
step("blocks, transactions and fees are read")

used = account.sign_transaction({"to": stranger.address, "nonce": 0, "gas": 21_000, "gasPrice": w3.eth.gas_price, "chainId": w3.eth.chain_id})
try:
    w3.eth.send_raw_transaction(used.raw_transaction)
    raise AssertionError("a used nonce must be refused")
except Web3RPCError as error:
    assert "nonce too low" in str(error).lower(), error
step("a used nonce is refused")
