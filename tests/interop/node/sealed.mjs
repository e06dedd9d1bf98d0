// Open a sealed join key with its master key. Node.js 20 or newer, without packages.
import { createDecipheriv, hkdfSync } from 'node:crypto';

export const masterKeyID = (key) => 'mk-' + Buffer.from(hkdfSync('sha256', key, '', 'tallystick.dev/master-key/fingerprint/v1', 12)).toString('hex');

export function openSealed(jwe, key) {
  const [head, encryptedKey, iv, ciphertext, tag, more] = jwe.split('.');
  if (tag === undefined || more !== undefined || encryptedKey !== '') throw new Error('not a sealed join key');
  const header = JSON.parse(decode(head));
  if (header.alg !== 'dir' || header.typ !== 'join-key+jwe') throw new Error('not a sealed join key');
  if (header.kid !== masterKeyID(key)) {
    throw new Error(`encrypted join key was made with master key ${header.kid}, this service has ${masterKeyID(key)}`);
  }
  if (header.enc !== `A${key.length * 8}GCM` || decode(iv).length !== 12) throw new Error('not a sealed join key');
  const cipher = createDecipheriv(`aes-${key.length * 8}-gcm`, key, decode(iv), { authTagLength: 16 });
  cipher.setAAD(Buffer.from(head)).setAuthTag(decode(tag));
  return Buffer.concat([cipher.update(decode(ciphertext)), cipher.final()]).toString();
}

function decode(text) {
  const raw = Buffer.from(text, 'base64url');
  if (raw.toString('base64url') !== text) throw new Error('not a sealed join key');
  return raw;
}
