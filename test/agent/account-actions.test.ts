import {
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { ACTIONS } from '../../shared/actions/index.ts';
import { fakeAccounts } from '../support/fake-accounts.ts';
import { systemNode } from '../support/system-node.ts';
import { failure } from '../support/undo-node.ts';

const HASH = '$6$salt$abcdefghijklmnop';
const KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOne one@desk';

/** A machine with a root, an `old` account, and two groups. */
function accountNode(dir: string) {
  const says: { stderr?: string; chpasswd?: string } = {};
  const system = systemNode(dir, (root) => fakeAccounts(root, says));
  const uid = process.getuid?.() ?? 0;
  const home = join(system.root, 'home/old');
  system.write(
    'etc/passwd',
    `root:x:0:0:root:/root:/bin/bash\nold:x:${uid}:${uid}:Old,,,:${home}:/bin/sh\n+nis::::::\n`,
  );
  system.write('etc/group', `root:x:0:\nadm:x:4:syslog,old\nstaff:x:50:\nold:x:${uid}:\n`);
  system.write('etc/shadow', 'root:*:19000:0:99999:7:::\nold:$6$a$b:19000:1:90:7:30:20500:\n');
  system.write('etc/skel/.profile', 'hello\n');
  mkdirSync(home, { recursive: true });
  const files = () =>
    ['passwd', 'group', 'shadow'].map((name) => system.read(`etc/${name}`).split('\n').sort().join('\n'));
  return { ...system, says, home, files, homeOf: (name: string) => join(system.root, 'home', name) };
}

t.test('inputs that contradict themselves, and a password that is no hash', (t) => {
  const refuses = (input: object, why: RegExp) =>
    t.match(ACTIONS.user.input.safeParse({ name: 'ops', ...input }).error?.message, why, JSON.stringify(input));
  refuses({ password: 'secret' }, /not a hash/);
  refuses({ password: '$6$a:b' }, /not a hash/);
  refuses({ name: 'a b' }, /not the name/);
  refuses({ name: '-a' }, /not the name/);
  refuses({ comment: 'a:b' }, /no colon/);
  refuses({ home: '/a:b' }, /no colon/);
  refuses({ authorized_keys: ['a\nb'] }, /one line/);
  refuses({ append: false }, /needs groups/);
  refuses({ keys_exact: true }, /needs authorized_keys/);
  refuses({ remove_home: true }, /belongs to state: absent/);
  refuses({ state: 'absent', uid: 3 }, /only name and remove_home/);
  t.notOk(ACTIONS.group.input.safeParse({ name: 'a', state: 'absent', gid: 3 }).success);
  t.end();
});

t.test('user: made with home, groups, hash and keys, once; nothing of it is left', async (t) => {
  const node = accountNode(t.testdir());
  const before = node.files();
  const home = node.homeOf('ops');
  const uid = process.getuid?.() ?? 0;
  const input = {
    ...{ name: 'ops', uid, groups: ['staff'], shell: '/bin/bash', comment: 'Op', home },
    ...{ password: HASH, authorized_keys: [KEY] },
  };
  const done = await node.do('user', input);
  t.match(done, { changed: true, output: { name: 'ops', uid, home } });
  t.notMatch(JSON.stringify(done), HASH, 'the hash is shown nowhere');
  const calls = node.calls();
  t.match(calls[0], /^useradd -m -U -u \d+ -c Op -d \/home\/ops -s \/bin\/bash -G staff -- ops$/);
  t.same(calls.slice(1), ['chpasswd -e'], 'nor is it an argument');
  t.match(node.read('etc/shadow'), `ops:${HASH}:`);
  const keys = join(home, '.ssh/authorized_keys');
  t.equal(readFileSync(keys, 'utf8'), `${KEY}\n`);
  t.same([lstatSync(keys).mode & 0o777, lstatSync(join(home, '.ssh')).mode & 0o777], [0o600, 0o700]);
  t.match(await node.do('user', input), { changed: false, output: { uid } });
  t.same(node.calls(), []);
  const undone = await node.node.undo('r1', 'x');
  t.same(undone.output.left, []);
  t.notMatch(JSON.stringify(undone), /[0-9a-f]{64}/, 'nor its digest');
  t.same(node.files(), before);
  t.notOk(existsSync(home));

  await node.do('user', input);
  writeFileSync(join(home, 'mine'), '');
  t.match((await node.undo()).output, { left: [/home\/ops is left, because .*mine was put there/] });
  t.same(node.files(), before);
});

t.test('user: one that is there is changed, and is as before after a rollback', async (t) => {
  const node = accountNode(t.testdir());
  const before = node.files();
  await node.do('user', { name: 'old', groups: ['staff'], shell: '/bin/bash', password: HASH });
  t.same(node.calls(), ['usermod -s /bin/bash -G adm,staff -- old', 'chpasswd -e']);
  t.match(node.read('etc/group'), /^adm:x:4:syslog,old\nstaff:x:50:old$/m, 'it stays in the others');
  await node.do('user', { name: 'old', groups: ['staff'], append: false });
  t.match(node.read('etc/group'), /^adm:x:4:syslog$/m, 'unless its groups are said to be all');
  t.match(await node.do('user', { name: 'old', groups: ['staff'], append: false }), { changed: false });
  await node.node.undo('r2', 'x');
  await node.node.undo('r1', 'x');
  t.same(node.files(), before, 'its hash and the age of it, too');
  await node.do('user', { name: 'old', password: '!' });
  t.match(node.calls().at(-1), 'usermod -p ! -- old');
  await node.undo();
  t.match(await failure(node.do('user', { name: 'old', groups: ['none'] })), {
    code: 'NO_SUCH_GROUP',
    message: /none/,
  });
  t.match(await failure(node.do('user', { name: 'old', group: 4711 })), { code: 'NO_SUCH_GROUP', message: /4711/ });
});

t.test('user: a password that somebody set since is not taken back', async (t) => {
  const node = accountNode(t.testdir());
  const shadow = node.read('etc/shadow');
  await node.do('user', { name: 'old', shell: '/bin/bash' });
  const theirs = shadow.replace('old:$6$a$b:19000:', 'old:$6$new$pw:20990:');
  node.write('etc/shadow', theirs);
  const error = await failure(node.undo());
  t.match(error, { code: 'UNDO_CONFLICT', message: /user old: password is not shown/ });
  t.equal(node.read('etc/shadow'), theirs);
  node.write('etc/shadow', shadow);
  await node.undo();

  await node.do('user', { name: 'old', password: HASH });
  node.write('etc/shadow', node.read('etc/shadow').replace(':1:90:7:', ':1:60:7:'));
  t.match(await failure(node.undo()), { code: 'UNDO_CONFLICT', message: /aging/ }, 'nor its age');

  node.write('etc/shadow', shadow.replace('$6$a$b', 'abJnggxhB/yWI'));
  const des = node.files();
  await node.do('user', { name: 'old', password: HASH });
  node.calls();
  await node.undo();
  t.same(node.files(), des);
  t.notMatch(node.calls().join(), /abJn/, 'no hash is an argument');
});

t.test('user: cut short between two tools, and no home for its keys', async (t) => {
  const node = accountNode(t.testdir());
  const before = node.files();
  const input = { name: 'ops', create_home: false, home: node.homeOf('ops'), password: HASH };
  node.says.chpasswd = 'chpasswd: (user ops) cannot lock /etc/shadow; try again later.';
  t.match(await failure(node.node.do('r1', 'user', input, 'x')), { code: 'ACCOUNT_FILES_LOCKED' });
  t.match(node.read('etc/shadow'), 'ops:!:', 'it is made already');
  delete node.says.chpasswd;
  await node.node.do('r1', 'user', input, 'x');
  t.match(node.read('etc/shadow'), `ops:${HASH}:`);
  t.match(await node.node.undo('r1', 'x'), { changed: true });
  t.same(node.files(), before, 'one undo for both attempts');

  node.calls();
  const keys = { name: 'ops', system: true, home: node.homeOf('ops'), authorized_keys: [KEY] };
  t.match(await failure(node.do('user', keys)), { code: 'HOME_NOT_SAFE', remedy: /create_home: true/ });
  t.same([node.calls(), node.files()], [[], before], 'told before the account is made');
});

t.test('user: keys, told apart by what they are', async (t) => {
  const node = accountNode(t.testdir());
  const path = join(node.home, '.ssh/authorized_keys');
  mkdirSync(join(node.home, '.ssh'));
  const old = '# mine\nfrom="10.0.0.1" ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOne old\nssh-rsa AAAAB3two two\n';
  writeFileSync(path, old, { mode: 0o600 });
  await node.do('user', { name: 'old', authorized_keys: [KEY] });
  t.equal(readFileSync(path, 'utf8'), `# mine\n${KEY}\nssh-rsa AAAAB3two two\n`);
  t.match(await node.do('user', { name: 'old', authorized_keys: [KEY] }), { changed: false });
  await node.do('user', { name: 'old', authorized_keys: [KEY], keys_exact: true });
  t.equal(readFileSync(path, 'utf8'), `# mine\n${KEY}\n`);
  await node.node.undo('r3', 'x');
  await node.node.undo('r1', 'x');
  t.equal(readFileSync(path, 'utf8'), old);
  rmSync(join(node.home, '.ssh'), { recursive: true });
  symlinkSync('/etc', join(node.home, '.ssh'));
  t.match(await failure(node.do('user', { name: 'old', authorized_keys: [KEY] })), {
    code: 'HOME_NOT_SAFE',
    message: /\.ssh: it is a symlink/,
  });
});

t.test('user and group: removed with the home, and brought back with all that was in it', async (t) => {
  const node = accountNode(t.testdir());
  const isRoot = process.getuid?.() === 0;
  const before = node.files();
  writeFileSync(join(node.home, 'file'), 'text');
  if (isRoot) {
    t.match(await failure(node.do('user', { name: 'old', state: 'absent', remove_home: true })), {
      code: 'HOME_NOT_REMOVED',
    });
    t.same(node.files(), before, 'a home that is of root is not removed, and nothing else then');
  }
  await node.do('user', { name: 'old', state: 'absent', remove_home: !isRoot });
  t.notMatch(node.files().join('\n'), 'old');
  t.match(await node.do('user', { name: 'old', state: 'absent' }), { changed: false });
  await node.node.undo(isRoot ? 'r2' : 'r1', 'x');
  t.same(node.files(), before);
  t.equal(readFileSync(join(node.home, 'file'), 'utf8'), 'text');

  t.match(await node.do('group', { name: 'staff', gid: 51 }), { changed: true, output: { gid: 51 } });
  await node.undo();
  t.match(await node.do('group', { name: 'staff', gid: 50 }), { changed: false });
  await node.do('group', { name: 'etcd', system: true });
  t.match(node.calls().at(-1), 'groupadd -r etcd');
  await node.undo();
  t.match(await node.do('group', { name: 'etcd', state: 'absent' }), { changed: false });
  await node.do('group', { name: 'adm', state: 'absent' });
  t.notMatch(node.read('etc/group'), 'adm');
  await node.undo();
  t.same(node.files(), before, 'members of a group that was removed, too');
  const many = Array.from({ length: 600 }, (_, number) => `member-${number}`).join(',');
  node.write('etc/group', node.read('etc/group').replace('syslog,old', many));
  const crowded = node.files();
  await node.do('group', { name: 'adm', state: 'absent' });
  node.node.restart();
  await node.undo();
  t.same(node.files(), crowded, 'however many they are');
});

t.test('user: a home goes with its account, wherever that is cut short', async (t) => {
  const node = accountNode(t.testdir());
  const isRoot = process.getuid?.() === 0;
  const uid = isRoot ? 1234 : process.getuid?.();
  const [aside, homes] = [join(node.root, 'home/.old.kk-removing'), () => readdirSync(join(node.root, 'home'))];
  node.write('etc/default/useradd', `HOME=${join(node.root, 'home')}\n`);
  node.write('etc/passwd', `old:x:${uid}:${uid}:Old:${node.home}:/bin/sh\n`);
  node.write('etc/group', `old:x:${uid}:\n`);
  writeFileSync(join(node.home, 'file'), 'text');
  if (isRoot) chownSync(node.home, 1234, 1234);
  const before = node.files();
  const input = { name: 'old', state: 'absent', remove_home: true };
  node.says.stderr = 'userdel: user old is currently used by process 1';
  t.match(await failure(node.do('user', input)), { code: 'ACCOUNT_IN_USE' });
  t.same([homes(), node.files()], [['old'], before], 'refused: the home is where it was');
  delete node.says.stderr;
  t.match(await node.do('user', input), { changed: true });
  t.same(homes(), []);
  await node.undo();
  t.same([homes(), node.files(), readFileSync(join(node.home, 'file'), 'utf8')], [['old'], before, 'text']);
  renameSync(node.home, aside);
  t.match(await node.do('user', input), { changed: true }, 'ended before userdel');
  t.same(homes(), []);
  mkdirSync(join(aside, 'deep'), { recursive: true });
  t.match(await node.do('user', input), { changed: true }, 'ended after it');
  t.same(homes(), []);
  t.match(await node.do('user', input), { changed: false });
});

t.test('what the tools refuse', async (t) => {
  const node = accountNode(t.testdir());
  const fails = async (stderr: string) => {
    node.says.stderr = stderr;
    return failure(node.do('user', { name: 'ops', home: node.homeOf('ops') }));
  };
  t.match(await fails('useradd: UID 0 is not unique'), { code: 'ACCOUNT_NUMBER_TAKEN', evidence: /not unique/ });
  t.match(await fails('useradd: cannot lock /etc/passwd; try again later.'), { code: 'ACCOUNT_FILES_LOCKED' });
  t.match(await fails('usermod: user old is currently used by process 1'), { code: 'ACCOUNT_IN_USE' });
  t.match(await fails('useradd: Permission denied.'), { code: 'ACCOUNT_DENIED' });
  t.match(await fails('useradd: x: not found'), { code: 'ACCOUNT_FAILED' });
  t.notOk(existsSync(node.homeOf('ops')));
});
