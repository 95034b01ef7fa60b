import { createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { readRequest } from '../../controller/pki/requests.ts';
import { ACTIONS } from '../../shared/actions/index.ts';
import { systemNode } from '../support/system-node.ts';
import { failure } from '../support/undo-node.ts';

t.test('certificate_request: the key stays, the request is about what the task says', async (t) => {
  const system = systemNode(t.testdir(), () => ({}));
  mkdirSync(join(system.root, 'ssl'));
  const key = join(system.root, 'ssl/member.key');
  const input = {
    key,
    subject: { CN: 'member', O: ['one', 'two'] },
    sans: ['DNS:Node-1.example', 'IP:fd00:0:0::1', 'IP:10.0.0.1'],
  };
  const first = await system.do('certificate_request', input);
  const made = readFileSync(key, 'utf8');
  t.equal(statSync(key).mode & 0o777, 0o600);
  t.match(first, { changed: true });
  t.notMatch(JSON.stringify(first), made.split('\n')[1]?.slice(0, 20), 'the key is shown nowhere');
  t.match(await readRequest(first.output.csr), {
    ok: true,
    subject: { CN: ['member'], O: ['one', 'two'] },
    sans: ['DNS:node-1.example', 'IP:10.0.0.1', 'IP:fd00::1'],
  });

  const again = await system.do('certificate_request', { ...input, sans: [], subject: { CN: 'other' } });
  t.match(again, { changed: false });
  t.equal(readFileSync(key, 'utf8'), made);
  t.match(await readRequest(again.output.csr), { subject: { CN: ['other'] }, sans: [] });

  const moded = await system.do('certificate_request', { ...input, mode: '0640' });
  t.equal(statSync(key).mode & 0o777, 0o640);
  t.notMatch(JSON.stringify(moded), made.split('\n')[1]?.slice(0, 20));
  await system.undo();
  t.match([statSync(key).mode & 0o777, readFileSync(key, 'utf8')], [0o600, made]);

  writeFileSync(
    key,
    generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ type: 'pkcs1', format: 'pem' }),
  );
  t.match(await failure(system.do('certificate_request', input)), {
    code: 'KEY_UNFIT',
    message: /another kind \(rsa\)/,
  });
  writeFileSync(key, 'no key');
  t.match(await failure(system.do('certificate_request', input)), { code: 'KEY_UNFIT', message: /no private key/ });

  rmSync(key);
  await system.do('certificate_request', input);
  t.ok(createPrivateKey(readFileSync(key)));
  t.match(readFileSync(key, 'utf8'), /^-----BEGIN EC PRIVATE KEY-----\n/, 'as kubeadm reads it');
  await system.undo();
  t.notOk(existsSync(key), 'a rollback takes the key away that kk has made');
});

t.test('certificate_request: what it refuses', async (t) => {
  const refuses = (wish: object, why: RegExp) => {
    const input = { key: '/k', subject: { CN: 'a' }, ...wish };
    t.match(ACTIONS.certificate_request.input.safeParse(input).error?.message, why, JSON.stringify(wish));
  };
  refuses({ mode: '0644' }, /others may not read/);
  refuses({ sans: ['example.org'] }, /DNS:name or IP:address/);
  refuses({ sans: ['IP:10.0.0'] }, /DNS:name or IP:address/);
  refuses({ sans: ['DNS:a_b'] }, /DNS:name or IP:address/);
  refuses({ subject: { CN: 'a\nb' } }, /control characters/);
  refuses({ subject: { O: 'a' } }, /CN/);
});
