// Kills this process at one of its steps: before or after the change of a file, or before or after a request.
// KILL_AT=n: the nth of these points. Each one that it passes is a line on standard output.
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";

const write = fs.writeSync;
const killAt = Number(process.env.KILL_AT ?? 0);
let passed = 0;

function point(name) {
  passed += 1;
  write(1, `${name}\n`);
  if (passed === killAt) process.kill(process.pid, "SIGKILL");
}

for (const name of ["openSync", "writeSync", "fsyncSync", "renameSync", "rmSync"]) {
  const real = fs[name];
  fs[name] = (...given) => {
    point(`before ${name}`);
    const result = real(...given);
    point(`after ${name}`);
    return result;
  };
}
syncBuiltinESMExports();

const request = globalThis.fetch;
globalThis.fetch = async (...given) => {
  point("before fetch");
  const answer = await request(...given);
  await answer.clone().arrayBuffer(); // the exchange has answered, and the device has not read it
  point("after fetch");
  return answer;
};
