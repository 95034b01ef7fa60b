import fc from 'fast-check';
import t from 'tap';
import {
  analyse,
  chainScopes,
  compileValue,
  ExprError,
  evaluate,
  evaluateValue,
  isTemplate,
  type Limits,
  nodeReads,
  parseExpression,
  parseTemplate,
  render,
  type Scope,
  scopeOf,
  secretReads,
  templatesOf,
  truthy,
  type Value,
} from '../../shared/expr/index.ts';

const origin = { file: 'tasks.yaml', line: 10, column: 5 };
const variables: { [name: string]: Value } = {
  name: 'Kube',
  count: 3,
  yes: true,
  nothing: null,
  facts: { os: { id: 'ubuntu', version: '22.04' }, memory: 4096, 'disk-free': 7 },
  group_names: ['etcd', 'worker'],
  nodes: [
    { name: 'a', ip: '10.0.0.1', weight: 2, role: 'etcd' },
    { name: 'b', ip: '10.0.0.2', weight: 1 },
    { name: 'c', ip: '10.0.0.3', weight: 3, role: 'worker' },
  ],
  labels: { zone: 'x', rack: 'y' },
  template: '{{ count }}',
};
const scope = scopeOf(variables);

const rendered = (text: string, from: Scope = scope, limits?: Partial<Limits>): Value =>
  render(parseTemplate(text, origin), from, limits);
const evaluated = (text: string, from: Scope = scope): Value => evaluate(parseExpression(text, origin), from);

/** The ExprError that the work fails with. */
function failure(work: () => unknown): ExprError {
  try {
    work();
  } catch (thrown) {
    if (thrown instanceof ExprError) return thrown;
    throw thrown;
  }
  throw new Error('it did not fail');
}

t.test('operators, precedence and literals', async (t) => {
  const cases: readonly (readonly [string, Value])[] = [
    ['1 + 2 * 3', 7],
    ['(1 + 2) * 3', 9],
    ['7 // 2', 3],
    ['-7 // 2', -4],
    ['-7 % 3', 2],
    ['7 / 2', 3.5],
    ['2 ** 3 ** 2', 64],
    ['-1 | abs', 1],
    ['1_000 + 0x10 + 1.5e1', 1031],
    ["'a' + 'b'", 'ab'],
    ["'a' ~ 1 ~ true ~ none", 'a1true'],
    ["'ab' * 2", 'abab'],
    ['[1] + [2]', [1, 2]],
    ['[0] * 3', [0, 0, 0]],
    ['(1, 2)', [1, 2]],
    ['()', []],
    ['(1,)', [1]],
    ["{'a': {'b': 1}, 'c': []}", { a: { b: 1 }, c: [] }],
    ['1 < 2 < 3', true],
    ['1 < 3 < 2', false],
    ['1 == 1.0', true],
    ['true == 1', false],
    ["1 == '1'", false],
    ["[1, {'a': 2}] == [1, {'a': 2}]", true],
    ["'etcd' in group_names", true],
    ["'nfs' not in group_names", true],
    ["not 'nfs' in group_names", true],
    ["'zone' in labels and 'ub' in facts.os.id", true],
    ['false or 5', 5],
    ['0 and crash', 0],
    ['yes or crash', true],
    ['1 if yes else crash', 1],
    ["'a' if false else 'b' if false else 'c'", 'c'],
    ['True and not False and None is none', true],
    ["facts['os'].id", 'ubuntu'],
    ["facts['disk-free']", 7],
    ['group_names[0]', 'etcd'],
    ['group_names[-1]', 'worker'],
    ['group_names.1', 'worker'],
    ['[[1, 2], [3]].0.1', 2],
    ['[1, 2, 3, 4][1:3]', [2, 3]],
    ['[1, 2, 3, 4][::2]', [1, 3]],
    ["'abc'[:-1]", 'ab'],
    ['\'\\n\\t\\x41\\u00e4\\\'\' ~ "\\""', '\n\tAä\'"'],
    ["'\\d+\\b\\1'", '\\d+\\b\\1'],
    ['range(3)', [0, 1, 2]],
    ['range(1, 6, 2)', [1, 3, 5]],
    ['range(3, 0, -1)', [3, 2, 1]],
  ];
  for (const [text, wanted] of cases) t.same(evaluated(text), wanted, text);
});

t.test('filters', async (t) => {
  const cases: readonly (readonly [string, Value])[] = [
    ["missing | default('x')", 'x'],
    ["missing.a['b'].c | d(5)", 5],
    ['group_names[9] | default(none)', null],
    ["facts.none.at | trim | default('x')", 'x'],
    ["'' | default('x')", ''],
    ["'' | default('x', true)", 'x'],
    ['count | default(crash)', 3],
    ['missing | default', ''],
    ["'it''s' | quote".replace("''", "\\'"), `'it'"'"'s'`],
    ["'a b; $(c)' | quote", "'a b; $(c)'"],
    ["'' | quote", "''"],
    ["'a-b/c' | quote", 'a-b/c'],
    ["['a b', 'c'] | map('quote') | join(' ')", "'a b' c"],
    ["'Yes' | bool", true],
    ["'off' | bool", false],
    ["'42' | int + 1", 43],
    ["'x' | int(7)", 7],
    ["'ff' | int(base=16)", 255],
    ["'1.5' | float", 1.5],
    ['5 | string', '5'],
    ['labels | string', '{"zone":"x","rack":"y"}'],
    ['name | lower ~ name | upper', 'kubeKUBE'],
    ["'  a ' | trim ~ '--b-' | trim('-')", 'ab'],
    ["'a.b.c' | replace('.', '/')", 'a/b/c'],
    ["'a.b.c' | replace('.', '/', 1)", 'a/b.c'],
    ["'v1.30.2' | regex_replace('^v(\\d+)\\.(\\d+).*', '\\2-\\1')", '30-1'],
    ["'eth0: up' | regex_replace('(?P<nic>\\w+):.*', '\\g<nic>')", 'eth0'],
    ["'Ready=TRUE' | regex_search('(?i)true')", 'TRUE'],
    ["'k=v' | regex_search('(\\w)=(\\w)', '\\2', '\\1')", ['v', 'k']],
    ["'abc' | regex_search('x')", null],
    ["'a,b,c' | split(',')", ['a', 'b', 'c']],
    ["' a  b ' | split", ['a', 'b']],
    ["'a b c' | split(none, 1)", ['a', 'b c']],
    ["[1, 'a', true] | join('-')", '1-a-true'],
    ["nodes | join(',', attribute='ip')", '10.0.0.1,10.0.0.2,10.0.0.3'],
    ['nodes | length + labels | count', 5],
    ["'ä€😀' | length", 3],
    ['group_names | first ~ group_names | last', 'etcdworker'],
    ["[] | first | default('none')", 'none'],
    ['[3, 1, 2] | min ~ [3, 1, 2] | max', '13'],
    ["(nodes | max(attribute='weight')).name", 'c'],
    ['[1, 2, 3] | sum', 6],
    ["nodes | sum(attribute='weight')", 6],
    ["['b', 'a', 'B'] | sort", ['B', 'a', 'b']],
    ["nodes | sort(attribute='weight', reverse=true) | map(attribute='name') | list", ['c', 'a', 'b']],
    ["[1, '1', 1, {'a': 1}, {'a': 1}] | unique", [1, '1', { a: 1 }]],
    ['[1, 2] | reverse', [2, 1]],
    ["nodes | map(attribute='role', default='-') | list", ['etcd', '-', 'worker']],
    ["['a', 'b'] | map('upper') | map('replace', 'A', 'x') | list", ['x', 'B']],
    ["['a', 'b'] | map('regex_replace', '^', 'x-') | list", ['x-a', 'x-b']],
    ["[0, 1, '', 'a'] | select", [1, 'a']],
    ["[1, 2, 3] | select('odd') | list", [1, 3]],
    ["[1, 2, 3] | reject('in', [2])", [1, 3]],
    ["nodes | selectattr('role', 'defined') | map(attribute='name')", ['a', 'c']],
    ["nodes | rejectattr('role', 'defined') | map(attribute='name')", ['b']],
    ["nodes | selectattr('weight', '>=', 2) | map(attribute='name')", ['a', 'c']],
    ["nodes | selectattr('name', 'equalto', 'b') | map(attribute='ip') | first", '10.0.0.2'],
    ["'abc' | list", ['a', 'b', 'c']],
    [
      'labels | dict2items',
      [
        { key: 'zone', value: 'x' },
        { key: 'rack', value: 'y' },
      ],
    ],
    ["labels | dict2items(key_name='k') | items2dict(key_name='k') == labels", true],
    ["{'a': {'x': 1}} | combine({'a': {'y': 2}})", { a: { y: 2 } }],
    ["{'a': {'x': 1}} | combine({'a': {'y': 2}}, recursive=true)", { a: { x: 1, y: 2 } }],
    ['[1, [2, [3]]] | flatten', [1, 2, 3]],
    ['[1, [2, [3]]] | flatten(1)', [1, 2, [3]]],
    ['[1, 2, 2] | difference([1])', [2]],
    ['[1, 2] | intersect([2, 3])', [2]],
    ['[1, 2] | union([2, 3])', [1, 2, 3]],
    [
      "['a', 'b'] | zip([1, 2, 3])",
      [
        ['a', 1],
        ['b', 2],
      ],
    ],
    ['labels | to_json', '{"zone":"x","rack":"y"}'],
    ['\'{"a": [1]}\' | from_json', { a: [1] }],
    ["{'a': [1, 'yes']} | to_yaml", 'a:\n  - 1\n  - yes\n'],
    ["'a: [1]' | from_yaml", { a: [1] }],
    ["'grüße' | b64encode | b64decode", 'grüße'],
    ["'a\nb' | indent(2)", 'a\n  b'],
    ["'/etc/kk/a.yaml' | basename ~ ' ' ~ '/etc/kk/a.yaml' | dirname", 'a.yaml /etc/kk'],
    ['2.567 | round(1) + -0.5 | round', 1.6],
    ["2.1 | round(0, 'ceil')", 3],
    ["yes | ternary('on', 'off') ~ nothing | ternary('a', 'b', 'c')", 'onc'],
    ["count | mandatory('say how many')", 3],
    ["'10.0.0.1' | ip_family ~ '::1' | ip_family", '46'],
    ["'10.1.2.3' | in_cidr('10.0.0.0/8')", true],
    ["['10.0.0.1', '192.168.0.1', 'fd00::1'] | reject('in_cidr', ['10.0.0.0/8', 'fd00::/8'])", ['192.168.0.1']],
  ];
  for (const [text, wanted] of cases) t.same(evaluated(text), wanted, text);
});

t.test('tests and methods', async (t) => {
  const cases: readonly (readonly [string, Value])[] = [
    ['missing is defined', false],
    ['facts.os.name is not defined', true],
    ['facts.os.id is defined and missing.a.b is undefined', true],
    ['nothing is none and count is number and name is string and labels is mapping', true],
    ['nodes is sequence and labels is iterable and count is not iterable', true],
    ['count is odd and count is not even', true],
    ['yes is true and not (count is true)', true],
    ["'etcd' is in group_names", true],
    ["group_names is contains 'etcd'", true],
    ["name is match('K') and name is search 'ub' and name is not match('ub')", true],
    ["'1.30' is version('1.9', '>')", true],
    ["'v1.30.0-rc.1' is version('1.30.0', '<')", true],
    ["'5.15.0-105-generic' is version('5.15', '>=')", true],
    ["facts.os.version is version('22.04')", true],
    ["'10.0.0.1' is in_cidr '10.0.0.0/24'", true],
    [
      'labels.items()',
      [
        ['zone', 'x'],
        ['rack', 'y'],
      ],
    ],
    ['labels.keys() + labels.values()', ['zone', 'rack', 'x', 'y']],
    ["{'a': none}.get('a', 1) is none and {'a': none}.a is none", true],
    ["'/a.txt' | dirname ~ '//x//y' | dirname ~ 'x' | dirname", '///x'],
    ["labels.get('zone') ~ labels.get('no', '-') ~ labels.get('no')", 'x-'],
    ["missing.get('a') | default(1)", 1],
    ["' a,b '.strip().split(',')", ['a', 'b']],
    ["'a b c'.split(maxsplit=1)", ['a', 'b c']],
    ["name.startswith('Ku') and name.endswith('be')", true],
    ["name.upper().lower().replace('k', 'c')", 'cube'],
    ["','.join(['a', 'b'])", 'a,b'],
  ];
  for (const [text, wanted] of cases) t.same(evaluated(text), wanted, text);
});

t.test('templates', async (t) => {
  const cases: readonly (readonly [string, Value])[] = [
    ['plain', 'plain'],
    ['{{ count }}', 3],
    ['{{ nodes[0] }}', { name: 'a', ip: '10.0.0.1', weight: 2, role: 'etcd' }],
    ['{{ nothing }}', null],
    ['{{ count }} ', '3 '],
    ['{{ nothing }}{{ yes }}', 'true'],
    ['{{ {"a": {"b": 1}} }}', { a: { b: 1 } }],
    ['{{ "}}" }}!', '}}!'],
    ['{{ template }}', '{{ count }}'],
    ['<{{ template }}>', '<{{ count }}>'],
    ['a\n', 'a\n'],
    ['{% if yes %}\nA\n{% elif crash %}\nB\n{% else %}\nC\n{% endif %}\nend\n', 'A\nend\n'],
    ['{% if no is defined %}A{% elif count == 3 %}B{% else %}C{% endif %}', 'B'],
    ['x:\n  {% for n in group_names %}\n  - {{ n }}\n  {% endfor %}\ny\n', 'x:\n  - etcd\n  - worker\ny\n'],
    ['a {% if yes %} b {% endif %} c', 'a  b  c'],
    ['a {%- if yes -%} b {%- endif -%} c', 'abc'],
    ['a  {{- count -}}  b', 'a3b'],
    ['  {%+ if yes +%}\nb{% endif %}', '  \nb'],
    ['a {# gone #}b\n  {# line #}\nc {#- near -#} d', 'a b\ncd'],
    ['{% raw %}{{ x }}{% y %}{% endraw %}\nz', '{{ x }}{% y %}z'],
    ['a {%- raw -%} {{ x }} {%- endraw -%} b', 'a{{ x }}b'],
    ['{% if yes %}\r\nA\r\n{% endif %}\r\n', 'A\r\n'],
    ['{% for n in nodes if n.weight > 1 %}{{ loop.index }}/{{ loop.length }}{{ n.name }}{% endfor %}', '1/2a2/2c'],
    ['{% for n in nodes %}{{ n.name }}{{ "" if loop.last else "," }}{% endfor %}', 'a,b,c'],
    ['{% for n in [] %}x{% else %}none{% endfor %}', 'none'],
    ['{% for k, v in labels.items() %}{{ k }}={{ v }};{% endfor %}', 'zone=x;rack=y;'],
    ['{% for k in labels %}{{ k }}{% endfor %}', 'zonerack'],
    [
      '{% for a in [1, 2] %}{% for b in [3, 4] %}{{ loop.index0 }}{% endfor %}{{ loop.first }} {% endfor %}',
      '01true 01false ',
    ],
    ['{% set x = 1 %}{% if yes %}{% set x = 2 %}{% endif %}{{ x }}', '2'],
    ['{% set x = 1 %}{% for i in [1] %}{% set x = 2 %}{{ x }}{% endfor %}{{ x }}', '21'],
  ];
  for (const [text, wanted] of cases) t.same(rendered(text), wanted, JSON.stringify(text));
  t.same(['a', '{{', '{%', '{#', '{ {'].map(isTemplate), [false, true, true, true, false]);
});

t.test('errors say where and what to do', async (t) => {
  const cases: readonly (readonly [string, string, string, RegExp])[] = [
    // text, code, line:column, message or hint
    ['{{ cuont }}', 'EXPR_UNDEFINED', '10:8', /did you mean "count"/],
    ['a\nbc {{ facts.os.idd }}', 'EXPR_UNDEFINED', '11:20', /"facts.os" has no "idd".*did you mean "id"/],
    ['{{ facts.os.id.x }}', 'EXPR_UNDEFINED', '10:20', /"facts.os.id" is a string/],
    ['{{ nothing.x }}', 'EXPR_UNDEFINED', '10:16', /"nothing" is none/],
    ['{{ group_names[2] }}', 'EXPR_UNDEFINED', '10:19', /has 2 items/],
    ["{{ 'a' if false }}", 'EXPR_UNDEFINED', '10:12', /no "else"/],
    ["{{ missing | mandatory('say how many') }}", 'EXPR_UNDEFINED', '10:18', /say how many/],
    ["{{ nodes | map(attribute='role') }}", 'EXPR_UNDEFINED', '10:16', /item 1 has no attribute "role"/],
    ["{{ nodes | selectattr('role', 'eq', 'x') }}", 'EXPR_UNDEFINED', '10:16', /selectattr/],
    ['{{ missing == 1 }}', 'EXPR_UNDEFINED', '10:8', /not defined/],
    ['{{ loop.index }}', 'EXPR_UNDEFINED', '10:8', /"loop"/],
    ["{{ 1 + 'a' }}", 'EXPR_TYPE', '10:10', /a number and a string.*~/],
    ["{{ count < '5' }}", 'EXPR_TYPE', '10:14', /have no order/],
    ['{{ 1 // 0 }}', 'EXPR_TYPE', '10:10', /division by zero/],
    ['{% for c in name %}{% endfor %}', 'EXPR_TYPE', '10:17', /cannot loop over a string/],
    ['{% for a, b in [1] %}{% endfor %}', 'EXPR_TYPE', '10:8', /items\(\)/],
    ['{{ 5 in 5 }}', 'EXPR_TYPE', '10:10', /cannot be "in"/],
    ["{{ {1: 'a'} }}", 'EXPR_TYPE', '10:9', /quote it/],
    ["{{ 'x' | int }}", 'EXPR_FILTER', '10:14', /not a number.*default/],
    ["{{ 'maybe' | bool }}", 'EXPR_FILTER', '10:18', /neither/],
    ["{{ '{secret' | from_json }}", 'EXPR_FILTER', '10:20', /^from_json: the text is not JSON$/],
    ["{{ 'a' | regex_search('(') }}", 'EXPR_FILTER', '10:14', /not valid/],
    ["{{ '1.2' | in_cidr('10.0.0.0/8') }}", 'EXPR_FILTER', '10:16', /not an IP/],
  ];
  for (const [text, code, place, said] of cases) {
    const template = parseTemplate(text, origin);
    const error = failure(() => render(template, scope));
    t.same([error.code, `${error.origin.line}:${error.origin.column}`], [code, place], text);
    t.match(error.hint === undefined ? error.message : `${error.message} ${error.hint}`, said, text);
  }
  const computed = failure(() => rendered('{{ labels[secret] }}', scopeOf({ labels: {}, secret: 'hunter2' })));
  t.notMatch(computed.describe(), /hunter2/, 'a computed key is not shown');
  const undefinedName = failure(() => rendered('{{ cuont }}'));
  t.equal(undefinedName.describe(), 'tasks.yaml:10:8: "cuont" is not defined (did you mean "count"?)');
});

t.test('wrong text is refused when parsed', async (t) => {
  const cases: readonly (readonly [string, string, string, RegExp])[] = [
    ['{{ a', 'EXPR_SYNTAX', '10:5', /"{{" is never closed/],
    ['{{ (a }}', 'EXPR_SYNTAX', '10:8', /"\(" is not closed before "}"/],
    ['x\n  {% if a %}', 'EXPR_SYNTAX', '11:10', /never closed with "{% endif %}"/],
    ['{% for a in b %}{% endif %}', 'EXPR_SYNTAX', '10:24', /endif.*no place/],
    ['{% endfor %}', 'EXPR_SYNTAX', '10:8', /no place/],
    ['{% fro a in b %}', 'EXPR_SYNTAX', '10:8', /did you mean "for"/],
    ["{% include 'x' %}", 'EXPR_SYNTAX', '10:8', /no tag "include"/],
    ['{% set loop = 1 %}', 'EXPR_SYNTAX', '10:12', /name of a variable/],
    ['{{ }}', 'EXPR_SYNTAX', '10:8', /expected a value/],
    ['{{ a b }}', 'EXPR_SYNTAX', '10:10', /end of the expression, found "b"/],
    ['{{ a = 1 }}', 'EXPR_SYNTAX', '10:10', /==/],
    ["{{ 'abc }}", 'EXPR_SYNTAX', '10:8', /string is never closed/],
    ['{{ a ? b }}', 'EXPR_SYNTAX', '10:10', /unexpected character/],
    ['echo ${#list}', 'EXPR_SYNTAX', '10:11', /raw/],
    ['{% raw %}x', 'EXPR_SYNTAX', '10:5', /endraw/],
    ["{{ node('a') }}", 'EXPR_SYNTAX', '10:8', /register/],
    ['{{ a | defualt(1) }}', 'EXPR_FILTER', '10:12', /did you mean "default"/],
    ['{{ a is definde }}', 'EXPR_FILTER', '10:13', /did you mean "defined"/],
    ['{{ rnage(3) }}', 'EXPR_FILTER', '10:8', /did you mean "range"/],
    ["{{ lookup('env', 'HOME') }}", 'EXPR_FILTER', '10:8', /no function/],
    ['{{ a.pop() }}', 'EXPR_FILTER', '10:10', /no method "pop"/],
    ['{{ a | replace(1) }}', 'EXPR_FILTER', '10:12', /needs its argument "new".*usage/],
    ['{{ a | lower(1) }}', 'EXPR_FILTER', '10:12', /at most 0/],
    ['{{ a | sort(reversed=true) }}', 'EXPR_FILTER', '10:17', /did you mean "reverse"/],
    ["{{ a | map('uper') }}", 'EXPR_FILTER', '10:16', /did you mean "upper"/],
    ['{{ a | select(b) }}', 'EXPR_FILTER', '10:19', /quoted string/],
    ['{{ 99999999999999999999 }}', 'EXPR_LIMIT', '10:8', /too large/],
  ];
  for (const [text, code, place, said] of cases) {
    const error = failure(() => parseTemplate(text, origin));
    t.same([error.code, `${error.origin.line}:${error.origin.column}`], [code, place], text);
    t.match(error.hint === undefined ? error.message : `${error.message} ${error.hint}`, said, text);
  }
  for (const text of ['', '{{ a }}', 'a }}', 'a and', '{% if a %}']) {
    t.equal(failure(() => parseExpression(text, origin)).code, 'EXPR_SYNTAX', text);
  }
});

t.test('work is bounded', async (t) => {
  const started = performance.now();
  const doubling = `{% set a = "0123456789" %}${'{% set a = a ~ a %}'.repeat(60)}{{ a }}`;
  const bomb = `{% set a = [1] %}${'{% set a = [a, a] %}'.repeat(60)}`;
  const ones = '(range(10000)|list)';
  for (const text of [
    '{{ range(100000) }}',
    '{{ range(1000000000000) }}',
    '{{ "x" * 1000000000 }}',
    '{{ [0] * 1000000000 }}',
    '{{ [[["x"] * 1000] * 1000] * 1000 }}',
    doubling,
    `${bomb}{{ a }}`,
    `${bomb}{{ a | to_json }}`,
    `${bomb}{{ a | flatten }}`,
    `${bomb}{{ a == [a, a] }}{{ [a, a] == [[a, a], a] }}{{ a | unique }}`,
    '{% for i in range(9999) %}{% for j in range(9999) %}x{% endfor %}{% endfor %}',
    `{% for i in ${ones} %}{% for j in ${ones} %}{% if j in range(9999) %}{% endif %}{% endfor %}{% endfor %}`,
    '{{ ("a" * 400000) | replace("a", "b" * 400000) }}',
    '{{ 10 ** 400 }}',
    `{{ ${'['.repeat(5000)}${']'.repeat(5000)} }}`,
    `{{ ${'('.repeat(50000)}1${')'.repeat(50000)} }}`,
    `{{ ${'not '.repeat(5000)}1 }}`,
    `{{ ${'-'.repeat(5000)}1 }}`,
    `{{ ${'1+'.repeat(5000)}1 }}`,
    `{{ a${'.b'.repeat(5000)} }}`,
    `{{ a${'|d'.repeat(5000)} }}`,
    `{{ ${'1 if 1 else '.repeat(5000)}1 }}`,
    '{% if 1 %}'.repeat(5000),
    `{{ "${'a'.repeat(100000)}" is search("a") }}`,
    `{{ "a" is search("${'a'.repeat(2000)}") }}`,
    'x'.repeat(2_000_000),
    `{{ '${'['.repeat(5000)}${']'.repeat(5000)}' | from_json }}`,
  ]) {
    t.equal(failure(() => rendered(text)).code, 'EXPR_LIMIT', text.slice(0, 60));
  }
  t.ok(performance.now() - started < 15_000, 'all of them together stop quickly');
  t.equal(failure(() => rendered('{{ 1 }}{{ 2 }}{{ 3 }}', scope, { steps: 3 })).code, 'EXPR_LIMIT');
  t.equal(failure(() => rendered('{{ name }}{{ name }}', scope, { text: 7 })).code, 'EXPR_LIMIT');
  t.equal(rendered('{{ name }}{{ name }}', scope, { text: 8 }), 'KubeKube', 'the limit itself is allowed');
  const slow = rendered(`{{ ("1" * 300000 ~ "x") | int(0) }}{{ ("/" * 300000 ~ "a/") | dirname | length }}`);
  t.equal(slow, '0300001', 'no quadratic work hides in a filter');
  t.equal(rendered(`{{ ${'('.repeat(95)}1${')'.repeat(95)} }}`), 1, 'honest nesting is allowed');
  const hosts = Array.from({ length: 5000 }, (_none, index) => ({ name: `n${index}`, ip: `10.0.0.${index}` }));
  const file = rendered(
    '{% for h in hosts %}\n{{ h.ip }} {{ h.name }} {{ h.alias | default("-") }}\n{% endfor %}',
    scopeOf({ hosts }),
  );
  t.equal(String(file).split('\n').length, 5001, 'a hosts file of 5,000 nodes is well within the limits');
});

t.test('nothing reaches a prototype', async (t) => {
  const undefinedNames = [
    'constructor',
    '__proto__',
    'toString',
    'hasOwnProperty',
    'labels.constructor',
    'labels.__proto__',
    "labels['__proto__']",
    "labels['constructor']['constructor']",
    'labels.toString',
    'nodes.length',
    'nodes.map',
    "nodes['constructor']",
    'name.length',
    'name.constructor',
    'count.toFixed',
    "labels['to' ~ 'String']",
    'evil.constructor',
    "own['__proto__']",
  ];
  const own = JSON.parse('{"__proto__": {"x": 1}, "a": 1}') as Value;
  const hostile = chainScopes(scope, scopeOf({ evil: new Date() as unknown as Value, own }));
  for (const text of undefinedNames) {
    t.equal(failure(() => evaluated(text, hostile)).code, 'EXPR_UNDEFINED', text);
    t.equal(evaluated(`${text} is defined`, hostile), false, text);
  }
  for (const text of [
    "{'__proto__': {'x': 1}}",
    "{'a': 1} | combine({'constructor': 1})",
    "[{'key': '__proto__', 'value': {'x': 1}}] | items2dict",
    '\'{"__proto__": {"x": 1}}\' | from_json',
    "'__proto__: {x: 1}' | from_yaml",
    'evil',
    'evil | to_json',
    'evil ~ 1',
  ]) {
    t.equal(failure(() => evaluated(text, hostile)).code, 'EXPR_TYPE', text);
  }
  t.equal(evaluated("nodes | map(attribute='__proto__', default='-') | first"), '-');
  t.equal(evaluated("labels.get('constructor')"), null);
  t.equal(evaluated("'toString' in labels"), false);
  t.equal(({} as { x?: unknown }).x, undefined, 'Object.prototype is as it was');
});

t.test('values are not changed', async (t) => {
  const before = structuredClone(variables);
  for (const text of [
    'nodes | sort(attribute="weight")',
    'group_names | reverse',
    'labels | combine({"zone": 1})',
    'nodes | unique',
  ]) {
    evaluated(text);
  }
  t.same(variables, before);
  t.same(
    ['', 0, [], {}, null, false, 'false', 1, [0]].map((value) => truthy(value as Value)),
    [false, false, false, false, false, false, true, true, true],
  );
});

t.test('free variables are known with path, place and whether they may be undefined', async (t) => {
  const seen = (text: string): string[] =>
    analyse(parseTemplate(text, origin)).free.map(
      ({ name, path, origin: at, defaulted }) =>
        `${[name, ...path].join('.')}@${at.line}:${at.column}${defaulted ? '?' : ''}`,
    );
  const cases: readonly (readonly [string, readonly string[]])[] = [
    ['text', []],
    ['{{ a.b["c"][0].d }}', ['a.b.c.0.d@10:8']],
    ['{{ a.b[i].c }}', ['a.b@10:8', 'i@10:12']],
    ['{{ a.b.items() }}', ['a.b@10:8']],
    ['x\n{{ a.b | default(c) }}', ['a.b@11:8?', 'c@11:22']],
    ['{{ a | trim | d }}', ['a@10:8?']],
    ['{{ (a.b).c | default(1) }}', ['a.b.c@10:9?']],
    ['{{ a is defined }}{{ b is not undefined }}{{ c is none }}', ['a@10:8?', 'b@10:26?', 'c@10:50']],
    ['{{ a | mandatory }}', ['a@10:8']],
    ['{% for a in b if a.c %}{{ a }}{{ loop.index }}{{ d }}{% endfor %}{{ a }}', ['b@10:17', 'd@10:54', 'a@10:73']],
    ['{% set a = a %}{{ a }}', ['a@10:16']],
    ['{% if c %}{% set a = 1 %}{% endif %}{{ a }}', ['c@10:11']],
    ['{{ a is defined and a.b > b }}', ['a@10:8?', 'a.b@10:25?', 'b@10:31']],
    ['{{ a is not defined or a.b }}{{ a }}', ['a@10:8?', 'a.b@10:28?', 'a@10:37']],
    [
      '{% if a.b is defined %}{{ a.b }}{{ a.c }}{% else %}{{ a.b }}{% endif %}',
      ['a.b@10:11?', 'a.b@10:31?', 'a.c@10:40', 'a.b@10:59'],
    ],
    ['{{ a if a is defined else b }}', ['a@10:13?', 'a@10:8?', 'b@10:31']],
    ['{{ node(groups.etcd[0]).token.stdout ~ node.name }}', ['groups.etcd.0@10:13', 'node.name@10:44']],
    ['{{ [a] | map("upper") | join(b) }}{{ {a: b} }}', ['a@10:9', 'b@10:34', 'a@10:43', 'b@10:46']],
  ];
  for (const [text, wanted] of cases) t.same(seen(text), wanted, text);
  t.same(analyse(parseExpression("x.y == 'a' and z is defined", origin)).free, [
    { name: 'x', path: ['y'], origin, defaulted: false },
    { name: 'z', path: [], origin: { ...origin, column: 20 }, defaulted: true },
  ]);
});

t.test('cross-node reads are found and known to be quoted or not', async (t) => {
  const reads = (text: string): string[] =>
    nodeReads(parseTemplate(text, origin)).map(
      (read) => `${read.register}${read.quoted ? ' quoted' : ''}${read.defaulted ? ' defaulted' : ''}`,
    );
  const cases: readonly (readonly [string, readonly string[]])[] = [
    ['{{ a.b }}{{ node.name }}', []],
    ["{{ node('a').r }}", ['r']],
    ["{{ node('a')['r'].stdout | quote }}", ['r quoted']],
    ["{{ node('a').r.stdout | trim | quote }}", ['r quoted']],
    ["{{ node('a').r.stdout | quote | replace('x', 'y') }}", ['r']],
    ["{{ node('a').r.stdout | default('') | quote }}", ['r quoted defaulted']],
    ["{{ node('a').r.stdout | quote | default('') }}", ['r quoted defaulted']],
    ["{{ 'x' | default(node('a').r) }}", ['r']],
    ["{{ node('a').r is defined }}", ['r quoted defaulted']],
    ["{% if node('a').r.rc == 0 %}x{% endif %}", ['r quoted']],
    ["{{ ('--x=' ~ node('a').r) | quote }}", ['r quoted']],
    ["{{ '--x=' ~ node('a').r | quote }}", ['r quoted']],
    ["{{ '--x=' ~ node('a').r }}", ['r']],
    ["{{ node('a').r | quote if node('b').s else node('c').u }}", ['s quoted', 'r quoted', 'u']],
    ["{{ node('a').r | map('quote') | join(' ') }}", ['r quoted']],
    ["{{ node('a').r | map('quote') }}", ['r']],
    ["{{ node('a').r | join(' ') | quote }}", ['r quoted']],
    ["{% for x in node('a').r %}{{ x.y | quote }}{% endfor %}", ['r quoted']],
    ["{% for x in node('a').r %}{{ x | quote }}{{ x }}{% endfor %}", ['r']],
    ["{% for x in node('a').r | map('quote') %}{{ x }}{% endfor %}", ['r quoted']],
    ["{% set x = node('a').r %}{% set y = x.stdout %}{{ y }}", ['r']],
    ["{% set x = node('a').r %}{% set y = x.stdout %}{{ y | quote }}", ['r quoted']],
    ["{% set x = node('a').r | quote %}{{ x }}", ['r quoted']],
    ["{{ node(node('a').r).s | quote }}", ['s quoted', 'r quoted']],
  ];
  for (const [text, wanted] of cases) t.same(reads(text), wanted, text);

  const [read] = nodeReads(parseExpression('1 + node(groups.etcd[0]).token.stdout', origin));
  if (read === undefined) throw new Error('no read was found');
  t.same(read.origin, { ...origin, column: 9 });
  t.equal(evaluate(read.selector, scopeOf({ groups: { etcd: ['n1'] } })), 'n1', 'the selector can be evaluated');

  const registers: Scope = {
    lookup: () => undefined,
    readNode: (selector, register) => (selector === 'n1' && register === 'token' ? { stdout: 'abc' } : undefined),
  };
  const both = chainScopes(scopeOf({ groups: { etcd: ['n1'], none: [] } }), registers);
  t.equal(evaluated('node(groups.etcd[0]).token.stdout', both), 'abc');
  t.equal(evaluated("node(groups.none[0]).token | default('-')", both), '-', 'of an empty group');
  t.equal(failure(() => evaluated("node('n2').token", both)).code, 'EXPR_UNDEFINED');
  t.equal(
    failure(() => evaluated("node('n1').token | default(1)")).code,
    'EXPR_UNDEFINED',
    'never guessed where it cannot be read',
  );
});

t.test('structures of templates', async (t) => {
  const value: Value = {
    argv: ['etcdctl', '--n={{ count }}'],
    '{{ key }}': '{{ nodes | length }}',
    plain: { a: [1, true] },
  };
  const compiled = compileValue(value, (path) => ({ ...origin, file: path.join('/') }));
  t.same(evaluateValue(compiled, scope), { argv: ['etcdctl', '--n=3'], '{{ key }}': 3, plain: { a: [1, true] } });
  t.equal(templatesOf(compiled).length, 2);
  t.equal(compileValue({ a: ['x'] }, () => origin).type, 'constant');
  const broken = failure(() => compileValue({ a: ['{{'] }, (path) => ({ ...origin, file: path.join('/') })));
  t.equal(broken.describe(), 'a/0:10:5: "{{" is never closed with "}}"');
  t.equal(failure(() => evaluateValue(compiled, scope, { steps: 5 })).code, 'EXPR_LIMIT', 'one budget for all');
});

t.test('random text: an ExprError or a value, soon', async () => {
  const word = fc.constantFrom(
    ...'{{ }} {% %} {# #} {%- -%} if elif else endif for endfor in set raw endraw not and or is defined | default ( ) [ ] { } . , : = == < + - * ** / // % ~'.split(
      ' ',
    ),
    ...'a b nodes facts loop 1 0 2.5 "x" \'y\' map join range node items quote select to_json from_json regex_search length'.split(
      ' ',
    ),
    '\n',
    ' ',
    '  ',
    '\\',
    '"',
    'é',
    '{{ a',
    '}} ',
  );
  const text = fc.oneof(
    fc.string(),
    fc.array(word, { maxLength: 25 }).map((words) => words.join(' ')),
    fc.array(word, { maxLength: 12 }).map((words) => `{{ ${words.join('')} }}`),
  );
  const from = scopeOf({ ...variables, a: [1, 'x', { b: null }], b: { a: 'y' } });
  fc.assert(
    fc.property(text, (input) => {
      const started = performance.now();
      for (const work of [
        () => {
          const template = parseTemplate(input, origin);
          analyse(template);
          nodeReads(template);
          render(template, from);
        },
        () => evaluate(parseExpression(input, origin), from),
      ]) {
        try {
          work();
        } catch (thrown) {
          if (!(thrown instanceof ExprError)) throw thrown;
        }
      }
      return performance.now() - started < 3000;
    }),
    { numRuns: 3000 },
  );
  fc.assert(
    fc.property(fc.string(), (input) => isTemplate(input) || render(parseTemplate(input, origin), from) === input),
    { numRuns: 300 },
  );
});

t.test('secrets are read by a name that stands there, wherever the scope has them', async (t) => {
  const keeper: Scope = { ...scope, secret: (name) => (name === 'token' ? 'abc' : undefined) };
  t.equal(rendered("{{ secret('token') }}!", chainScopes(scopeOf({ item: 1 }), keeper)), 'abc!');
  t.equal(failure(() => rendered("{{ secret('other') }}", keeper)).code, 'EXPR_UNDEFINED');
  t.equal(failure(() => rendered("{{ secret('token') }}")).code, 'EXPR_UNDEFINED', 'a scope without secrets');
  t.match(
    failure(() => rendered('{{ secret(name) }}', keeper)),
    { code: 'EXPR_SYNTAX', hint: "write secret('name')" },
  );
  t.match(failure(() => rendered("{{ secrets('a') }}", keeper)).hint, /secret/);
  const text =
    "{% for x in [secret('a')] if secret('b') %}{{ x }}{% else %}{{ [secret('c') | default(1)] }}{% endfor %}" +
    "{% if y == secret('d') %}{% set z = {'k': secret('e')} %}{% else %}{{ 'secret(no)' }}{{ secret('a') }}{% endif %}";
  t.same(
    secretReads(parseTemplate(text, origin)).map(({ name }) => name),
    ['a', 'b', 'c', 'd', 'e', 'a'],
  );
  t.same(
    secretReads(parseExpression("1 if secret('f') else node('cp1').x", origin)).map(({ name }) => name),
    ['f'],
  );
});
