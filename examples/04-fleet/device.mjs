// A device in Node.js 20 or later, without packages: the rules are in docs/devices.md.
//   node device.mjs URL VALUE-FILE FOLDER        NODE_EXTRA_CA_CERTS=ca.crt trusts a private CA.
import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, randomUUID, sign } from "node:crypto";
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, writeSync } from "node:fs";

const [url, valueFile, folder] = process.argv.slice(2);
const PROVED = "proved.json", NEXT = "next.json", KEY = "key.pem";
let ahead = 0; // seconds between the clock of the exchange and the clock here

const base64url = (data) => Buffer.from(data).toString("base64url");
const sleep = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));

function store(name, text) { // a new file, flushed and renamed: a crash leaves the old one or the new one
  const file = openSync(`${folder}/${name}.new`, "w", 0o600);
  writeSync(file, text);
  fsyncSync(file);
  closeSync(file);
  move(`${name}.new`, name);
}

function move(from, to) {
  renameSync(`${folder}/${from}`, `${folder}/${to}`);
  const directory = openSync(folder, "r");
  fsyncSync(directory);
  closeSync(directory);
}

function load(name) { // a damaged file counts as missing
  try { return JSON.parse(readFileSync(`${folder}/${name}`, "utf8")); } catch { return null; }
}

mkdirSync(folder, { recursive: true, mode: 0o700 });
if (!existsSync(`${folder}/${KEY}`)) // rule 1: before the first request, and once
  store(KEY, generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({ type: "pkcs8", format: "pem" }));
const key = createPrivateKey(readFileSync(`${folder}/${KEY}`));
const { kty, crv, x, y } = createPublicKey(key).export({ format: "jwk" });

async function post(path, authorization, token) { // a request with a proof of the key (RFC 9449)
  const ath = token && { ath: createHash("sha256").update(token).digest("base64url") };
  const claims = { jti: randomUUID(), htm: "POST", htu: url + path, iat: Math.floor(Date.now() / 1000 + ahead), ...ath };
  const header = { typ: "dpop+jwt", alg: "ES256", jwk: { kty, crv, x, y } };
  const signed = `${base64url(JSON.stringify(header))}.${base64url(JSON.stringify(claims))}`;
  const proof = `${signed}.${base64url(sign("sha256", Buffer.from(signed), { key, dsaEncoding: "ieee-p1363" }))}`;
  try {
    const options = { method: "POST", redirect: "error", signal: AbortSignal.timeout(20_000) };
    const answer = await fetch(url + path, { ...options, headers: { authorization, dpop: proof } });
    const body = await answer.json().catch(() => ({}));
    if (body.type === "urn:problem:invalid-dpop-proof") ahead = (Date.parse(answer.headers.get("date")) - Date.now()) / 1000;
    return { status: answer.status, body, wait: Number(answer.headers.get("retry-after")) || 5 };
  } catch { return { status: 0, body: {}, wait: 5 }; } // no answer: try again
}

const checkIn = (copy) => post(`/v1/devices/${copy.device_id}/check-in`, `DPoP ${copy.token}`, copy.token);
const copyIn = ({ device_id, generation, token }, of) => JSON.stringify({ device_id: device_id ?? of, generation, token });
const isRejected = ({ status, body }) => status === 401 && body.type !== "urn:problem:invalid-dpop-proof";

for (;;) {
  const [proved, next] = [load(PROVED), load(NEXT)];
  let used = next ?? proved, answer = used && (await checkIn(used)); // rule 4: next first, proved after a 401
  if (used === next && proved && isRejected(answer)) answer = await checkIn((used = proved));
  if (!used || isRejected(answer)) { // rule 8: both are rejected, so enroll again with the same key
    answer = await post("/v1/devices", `Bearer ${readFileSync(valueFile, "utf8").trim()}`);
    if (answer.body.token) {
      store(PROVED, copyIn(answer.body));
      rmSync(`${folder}/${NEXT}`, { force: true });
      continue; // rule 7: use it at once
    }
  } else if (answer.status === 410) process.exit(3); // rule 9: keep the key
  else if (answer.status === 204 || answer.body.token) {
    if (used === next) move(NEXT, PROVED); // rule 5
    if (answer.body.generation > used.generation) { // rule 6
      store(NEXT, copyIn(answer.body, used.device_id));
      continue; // rule 7
    }
  }
  await sleep(answer.wait);
}
