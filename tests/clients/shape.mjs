// What an answer looks like, without what may differ from chain to chain: keys, kinds of values, codes, and texts without
// their numbers.

/** Returns the kind of a value; of an object, that of each of its keys, and of a list, those of its items. */
export function shape(value) {
  if (value === null) return "null";
  if (Array.isArray(value)) return [...new Set(value.map((item) => JSON.stringify(shape(item))))].sort().map((item) => JSON.parse(item));
  if (typeof value === "object") {
    return Object.fromEntries(Object.entries(value).sort(([one], [other]) => (one < other ? -1 : 1)).map(([name, inner]) => [name, shape(inner)]));
  }
  if (typeof value !== "string") return typeof value;
  if (!/^0x[0-9a-fA-F]*$/.test(value)) return "text";
  if (/^0x(0|[1-9a-f][0-9a-f]{0,31})$/.test(value)) return "quantity";
  const bytes = value.length / 2 - 1;
  return [8, 20, 32, 256].includes(bytes) ? `${bytes} bytes` : "bytes";
}

/** Returns a text without numbers, hashes and addresses, and without what depends on upper case. */
export const wording = (text) => text.toLowerCase().replace(/0x[0-9a-f]+/g, "#").replace(/\d[\d_.]*/g, "#");

/** Lists in words how `got` differs from `expected`, two shapes. */
export function differences(got, expected, at = "result") {
  const plain = (one) => one === null || typeof one !== "object";
  if (plain(got) || plain(expected) || Array.isArray(got) !== Array.isArray(expected)) {
    return JSON.stringify(got) === JSON.stringify(expected) ? [] : [`${at}: ${JSON.stringify(got)}, anvil has ${JSON.stringify(expected)}`];
  }
  if (Array.isArray(got)) {
    if (got.length === 1 && expected.length === 1) return differences(got[0], expected[0], `${at}[]`);
    return JSON.stringify(got) === JSON.stringify(expected) ? [] : [`${at}[]: ${JSON.stringify(got)}, anvil has ${JSON.stringify(expected)}`];
  }
  return [...new Set([...Object.keys(got), ...Object.keys(expected)])].sort().flatMap((name) => {
    if (!(name in got)) return [`${at}.${name}: missing, anvil has ${JSON.stringify(expected[name])}`];
    if (!(name in expected)) return [`${at}.${name}: ${JSON.stringify(got[name])}, anvil has none`];
    return differences(got[name], expected[name], `${at}.${name}`);
  });
}
