// Prints what the compiler makes of Probe.sol, for clients in other languages.
import { probe } from "./kit.mjs";

console.log(JSON.stringify(probe()));
