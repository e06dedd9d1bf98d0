// Sign and verify service tokens with a mounted join key. Node.js 20 or newer, without packages.
import { createHmac, hkdfSync, randomUUID, timingSafeEqual } from 'node:crypto';
import { existsSync, readFileSync, readdirSync, realpathSync, statSync } from 'node:fs';
import { join } from 'node:path';

// Read the mounted Secret. Call it for each token, or whenever the folder changes.
export function load(folder) {
  const link = join(folder, '..data'); // kubelet swaps this link, so all files are of one version
  const current = realpathSync(existsSync(link) ? link : folder);
  const names = readdirSync(current).filter((name) => statSync(join(current, name)).isFile());
  const files = Object.fromEntries(names.map((name) => [name, readFileSync(join(current, name), 'utf8').trim()]));
  const keys = [files['join-key'], files['join-key-accepted']].filter(Boolean).map((hex) => Buffer.from(hex, 'hex'));
  return {
    keys, // the first one signs
    cluster: files['cluster-name'],
    services: (files.services ?? '').split(',').filter(Boolean),
  };
}

// Sign a token of this service for the other services of its cluster.
export function sign({ keys: [key], cluster }, service, lifetime = 300, now = Math.floor(Date.now() / 1000)) {
  const header = { alg: 'HS256', kid: keyID(key), typ: 'service+jwt' };
  const claims = { aud: cluster, exp: now + lifetime, iat: now, iss: service, jti: randomUUID() };
  const text = `${encode(JSON.stringify(header))}.${encode(JSON.stringify(claims))}`;
  return `${text}.${encode(mac(key, text))}`;
}

// Return the claims of a token; throw an error if it is not valid.
export function verify(token, { keys, cluster, services }, now = Math.floor(Date.now() / 1000)) {
  if (token.length > 8192 || !/^[\w-]+\.[\w-]+\.[\w-]+$/.test(token)) throw invalid();
  const [head, body, signature] = token.split('.');
  const header = JSON.parse(decode(head));
  if (Object.keys(header ?? {}).sort().join() !== 'alg,kid,typ') throw invalid();
  if (header.alg !== 'HS256' || header.typ !== 'service+jwt') throw invalid();
  if (typeof header.kid !== 'string' || !/^jk-[0-9a-f]{24}$/.test(header.kid)) throw invalid();
  const key = keys.find((one) => keyID(one) === header.kid);
  if (!key) throw new Error(`join key mismatch (token kid ${header.kid}, local kid ${keys.map(keyID).join(', ')})`);
  const expected = mac(key, `${head}.${body}`), given = decode(signature);
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) throw invalid();
  const claims = JSON.parse(decode(body));
  if (!isValid(claims, cluster, services, now)) throw invalid();
  return claims;
}

// Check the claims of a token whose signature is verified.
function isValid(claims, cluster, services, now) {
  const { aud, exp, iat, iss, jti } = claims ?? {};
  if (!Number.isSafeInteger(iat) || !Number.isSafeInteger(exp) || typeof iss !== 'string') return false;
  if (typeof jti !== 'string' || jti.length < 1 || jti.length > 64 || aud !== cluster) return false;
  const isMember = services.length ? services.includes(iss) : /^[a-z0-9-]{1,63}$/.test(iss);
  return isMember && iat <= now + 60 && now < exp && exp - iat > 0 && exp - iat <= 3600;
}

// Return the fingerprint of a join key: the kid of its tokens.
export const keyID = (key) => 'jk-' + derive(key, 'tallystick.dev/join-key/fingerprint/v1', 12).toString('hex');
const signingKey = (key) => derive(key, 'tallystick.dev/join-key/hs256/v1', 32);
const mac = (key, text) => createHmac('sha256', signingKey(key)).update(text).digest();
const derive = (key, info, length) => Buffer.from(hkdfSync('sha256', key, '', info, length));
const encode = (raw) => Buffer.from(raw).toString('base64url');
const invalid = () => new Error('the token is not valid');

// Read base64url, in its one spelling.
function decode(text) {
  const raw = Buffer.from(text, 'base64url');
  if (encode(raw) !== text) throw invalid();
  return raw;
}
