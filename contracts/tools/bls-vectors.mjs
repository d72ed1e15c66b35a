#!/usr/bin/env node
// Writes test/vectors/bls.json with @noble/curves, a BLS implementation that shares nothing with the precompiles or
// with blst. Everything here, digests included, is computed without the contracts. With --check it compares instead.
import { bls12_381 as bls } from "@noble/curves/bls12-381.js";
import { keccak_256 } from "@noble/hashes/sha3.js";
import { bytesToHex, concatBytes, hexToBytes, utf8ToBytes } from "@noble/hashes/utils.js";
import { readFileSync, writeFileSync } from "node:fs";

const PATH = new URL("../test/vectors/bls.json", import.meta.url);
const SIGNATURE_DST = "BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_";
const POSSESSION_DST = "BATON_POP_BLS12381G1_XMD:SHA-256_SSWU_RO_";
// The suite's own test tag, RFC 9380 appendix J.9.1.
const RFC_DST = "QUUX-V01-CS02-with-BLS12381G1_XMD:SHA-256_SSWU_RO_";

const L1_CHAIN_ID = 31337n;
const L2_CHAIN_ID = 4242n;
const DEPLOYER = hexToBytes("000000000000000000000000000000000000ba70");

// ------------------------------------------------------------------------------------------------------- encodings

const hex = (bytes) => `0x${bytesToHex(bytes)}`;
const keccak = (...parts) => keccak_256(concatBytes(...parts));
const text = (string) => keccak_256(utf8ToBytes(string));
const number = (value, bytes = 32) => hexToBytes(BigInt(value).toString(16).padStart(2 * bytes, "0"));
const word = (bytes) => concatBytes(new Uint8Array(32 - bytes.length), bytes);
const element = (value) => number(value, 64);
const isZero = (point) => point.is0();

function g1(point) {
  if (isZero(point)) return new Uint8Array(128);
  const { x, y } = point.toAffine();
  return concatBytes(element(x), element(y));
}

function g2(point) {
  if (isZero(point)) return new Uint8Array(256);
  const { x, y } = point.toAffine();
  return concatBytes(element(x.c0), element(x.c1), element(y.c0), element(y.c1));
}

// ------------------------------------------------------------------------------------------------------------ keys

// CREATE: keccak of the RLP of (deployer, nonce 0).
const registry = keccak(new Uint8Array([0xd6, 0x94]), DEPLOYER, new Uint8Array([0x80])).slice(12);
const secretOf = (name) => BigInt(hex(text(name))) % bls.fields.Fr.ORDER;
const keyOf = (secret) => bls.G2.Point.BASE.multiply(secret);
const hashToG1 = (dst, message) => bls.G1.hashToCurve(message, { DST: dst });
const sign = (secret, dst, message) => hashToG1(dst, message).multiply(secret);
const sum = (points) => points.reduce((a, b) => a.add(b));

function member(index) {
  const secret = secretOf(`member ${index}`);
  const owner = text(`owner ${index}`).slice(12);
  const key = g2(keyOf(secret));
  const message = keccak(number(L1_CHAIN_ID), word(registry), word(owner), keccak(key));
  return { secret, owner, key, message, possession: g1(sign(secret, POSSESSION_DST, message)) };
}

// --------------------------------------------------------------------------------------------------------- digests

const domain = keccak(
  text("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
  text("Baton"),
  text("1"),
  number(L1_CHAIN_ID),
  word(registry),
);
const digest = (type, ...words) => keccak(new Uint8Array([0x19, 0x01]), domain, keccak(text(type), ...words));
const vote = (kind, epoch, view, block) =>
  digest(`${kind}(uint64 l2ChainId,uint64 epoch,uint64 view,bytes32 blockDigest)`, number(L2_CHAIN_ID), number(epoch), number(view), block);
const nullify = (epoch, view) =>
  digest("Nullify(uint64 l2ChainId,uint64 epoch,uint64 view)", number(L2_CHAIN_ID), number(epoch), number(view));

// ----------------------------------------------------------------------------------------------------- the vectors

const messages = ["", "abc", "abcdef0123456789", `q128_${"q".repeat(128)}`];
const hashToCurve = [
  ...messages.map((message) => ({ dst: RFC_DST, message: utf8ToBytes(message) })),
  ...[SIGNATURE_DST, POSSESSION_DST].map((dst) => ({ dst, message: text("a 32-byte message") })),
].map(({ dst, message }) => ({ dst, message: hex(message), point: hex(g1(hashToG1(dst, message))) }));

// The first x = (n, 0) on the twist whose point is outside the prime-order subgroup.
function offSubgroup() {
  const { Fp2 } = bls.fields;
  const b = Fp2.create({ c0: 4n, c1: 4n });
  for (let n = 0n; ; n += 1n) {
    const x = Fp2.create({ c0: n, c1: 0n });
    const squared = Fp2.add(Fp2.mul(Fp2.sqr(x), x), b);
    let y;
    try {
      y = Fp2.sqrt(squared);
    } catch {
      continue;
    }
    const point = bls.G2.Point.fromAffine({ x, y });
    if (!point.isTorsionFree()) return g2(point);
  }
}

const members = [0, 1, 2, 3].map(member);
const inOrder = [...members].sort((a, b) => (hex(a.owner) < hex(b.owner) ? -1 : 1));
const data = utf8ToBytes("what the batch carries");
const header = concatBytes(
  number(0), // index
  number(0), // prevBatchHash
  number(2), // epoch
  number(1), // firstHeight
  number(25), // lastHeight
  text("block 25"), // lastDigest
  number(132), // lastOriginNumber
  text("origin 132"), // lastOriginHash
  number(0), // stateRoot
  number(0), // forcedPosition
  number(0), // forcedHash
  number(1), // dataKind
  keccak(data), // dataHash
  text("duties"), // dutiesRoot
);
const batchHash = keccak(header);
const attestation = (...words) =>
  digest(
    "Attest(uint64 l2ChainId,uint64 committeeEpoch,uint64 batchIndex,bytes32 prevBatchHash,bytes32 headerHash,uint64 lastHeight,bytes32 lastDigest,bytes32 stateRoot)",
    number(L2_CHAIN_ID),
    ...words,
  );
const attest = attestation(number(2), number(0), number(0), batchHash, number(25), text("block 25"), number(0));
// Members 0, 1 and 3 in address order.
const signers = [0, 1, 3];
const certificate = {
  committeeEpoch: 2,
  bitmap: hex(number(signers.reduce((bits, i) => bits | (1 << i), 0))),
  digest: hex(attest),
  signature: hex(g1(sum(signers.map((i) => sign(inOrder[i].secret, SIGNATURE_DST, attest))))),
};

// One pair for each offence, each by another member.
const [a, b] = [text("block a"), text("block b")];
const evidence = [
  [1, { kind: 0, viewNumber: 7, block: a, digest: vote("Notarize", 2, 7, a) }, { kind: 0, viewNumber: 7, block: b, digest: vote("Notarize", 2, 7, b) }],
  [2, { kind: 1, viewNumber: 8, block: a, digest: vote("Finalize", 2, 8, a) }, { kind: 1, viewNumber: 8, block: b, digest: vote("Finalize", 2, 8, b) }],
  [3, { kind: 2, viewNumber: 9, block: number(0), digest: nullify(2, 9) }, { kind: 1, viewNumber: 9, block: a, digest: vote("Finalize", 2, 9, a) }],
].map(([offence, first, second], i) => ({
  offence,
  owner: hex(members[i].owner),
  epoch: 2,
  first: { ...first, block: hex(first.block), digest: hex(first.digest) },
  second: { ...second, block: hex(second.block), digest: hex(second.digest) },
  signatureSum: hex(g1(sum([first, second].map((v) => sign(members[i].secret, SIGNATURE_DST, v.digest))))),
}));

// Two attestations of the fourth member that give height 40 two blocks, for committees of two epochs.
const attestations = [text("block 40"), text("another block 40")].map((block, i) => [
  number(2 + i),
  number(1),
  batchHash,
  text(`header ${i}`),
  number(40),
  block,
  number(0),
]);
const attestedTwice = {
  owner: hex(members[3].owner),
  first: hex(concatBytes(...attestations[0])),
  second: hex(concatBytes(...attestations[1])),
  signatureSum: hex(g1(sum(attestations.map((words) => sign(members[3].secret, SIGNATURE_DST, attestation(...words)))))),
};

// Two blocks final in one view: all but the last member in address order certify one, all but the first the other.
const finalTwice = [a, b].map((block, i) => {
  const digest = vote("Finalize", 2, 11, block);
  const signers = inOrder.slice(i, i + 3);
  return {
    bitmap: hex(number(0b111 << i)),
    block: hex(block),
    signature: hex(g1(sum(signers.map((member) => sign(member.secret, SIGNATURE_DST, digest))))),
  };
});

const vectors = {
  hashToCurve,
  g2OffSubgroup: hex(offSubgroup()),
  domain: { l1ChainId: Number(L1_CHAIN_ID), registry: hex(registry), deployer: hex(DEPLOYER), l2ChainId: Number(L2_CHAIN_ID), separator: hex(domain) },
  members: members.map(({ owner, key, message, possession }) => ({ owner: hex(owner), key: hex(key), message: hex(message), possession: hex(possession) })),
  batch: { data: hex(data), header: hex(header), hash: hex(batchHash), ...certificate },
  evidence,
  attestedTwice,
  finalTwice,
};
const rendered = `${JSON.stringify(vectors, null, 2)}\n`;

if (!process.argv.includes("--check")) {
  writeFileSync(PATH, rendered);
} else if (readFileSync(PATH, "utf8") !== rendered) {
  console.error("stale: test/vectors/bls.json. Run `npm run vectors` in contracts/ and commit the result.");
  process.exit(1);
}
