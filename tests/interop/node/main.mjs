// The program answers questions about tokens and keys: a JSON list on standard input, a list of answers on standard output.
import { readFileSync } from 'node:fs';
import { masterKeyID, openSealed } from './sealed.mjs';
import { keyID, load, sign, verify } from './service_token.mjs';

const hex = (text) => Buffer.from(text, 'hex');
const member = ({ keys, cluster, services }) => ({ keys: keys.map(hex), cluster, services });
const operations = {
  sign: (q) => sign(member(q), q.service, 300, q.now),
  verify: (q) => verify(q.token, member(q), q.now),
  load: (q) => sign(load(q.folder), q.service, 300, q.now),
  open: (q) => openSealed(q.sealed, hex(q.key)),
  fingerprint: (q) => (q.kind === 'join' ? keyID : masterKeyID)(hex(q.key)),
};

const answers = JSON.parse(readFileSync(0, 'utf8')).map((question) => {
  try {
    return { result: operations[question.op](question) };
  } catch (error) {
    return { error: error.message };
  }
});
process.stdout.write(JSON.stringify(answers));
