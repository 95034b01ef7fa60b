/** Who may import whom (ARCHITECTURE.md). A lint rule, not a reviewer, keeps the house in order. */

/** Room -> the other rooms of its side that it may import, types included. Every room may import shared. */
const MAY_IMPORT = {
  controller: {
    config: [],
    cluster: [],
    plan: ['cluster'],
    components: ['plan', 'run', 'store', 'durable'],
    compile: ['plan'],
    run: ['compile'],
    durable: [],
    pki: ['durable'],
    store: ['run', 'pki', 'durable'],
    dispatch: ['run', 'pki'],
    bootstrap: ['plan'],
    views: ['compile', 'run', 'store'],
    server: ['views', 'plan', 'pki'],
    operations: ['server', 'views', 'plan', 'compile', 'run', 'dispatch', 'store', 'pki', 'bootstrap'],
    // Commands talk to the controller over its API; only `serve` reaches compose, through client.
    cli: ['plan', 'cluster', 'components', 'compile', 'config', 'views'],
  },
  agent: {
    config: [],
    durable: [],
    pty: ['durable'],
    host: ['durable', 'pty'],
    shell: ['host', 'pty', 'link', 'executor'],
    facts: ['host', 'actions'],
    actions: ['host', 'facts', 'undo', 'files', 'identity'],
    undo: ['host', 'durable'],
    certs: ['host'],
    executor: ['host', 'actions', 'link', 'durable'],
    identity: ['durable'],
    files: ['identity', 'durable'],
    link: ['executor', 'identity'],
    install: ['host', 'identity', 'durable', 'link'],
  },
};

const rooms = Object.entries(MAY_IMPORT).flatMap(([side, table]) =>
  Object.entries(table).map(([room, others]) => ({
    name: `${side}-${room}-imports-its-neighbours-only`,
    severity: 'error',
    from: { path: `^${side}/${room}/` },
    to: { path: `^${side}/(?!(${[room, ...others].join('|')})/)` },
  })),
);

const only = (name, power, homes, comment) => ({
  name,
  comment,
  severity: 'error',
  from: { path: '^(controller|agent|shared)/', pathNot: homes },
  to: { path: power },
});

module.exports = {
  forbidden: [
    {
      name: 'no-cycles',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    {
      name: 'shared-imports-nothing-of-ours',
      severity: 'error',
      from: { path: '^shared/' },
      to: { path: '^(controller|agent|scripts|test)/' },
    },
    {
      name: 'shared-does-no-io',
      comment: 'Pure computation only: hashing and certificate parsing of node:crypto are allowed.',
      severity: 'error',
      from: { path: '^shared/' },
      to: { dependencyTypes: ['core'], pathNot: '^(node:)?crypto$' },
    },
    {
      name: 'agent-never-imports-controller',
      severity: 'error',
      from: { path: '^agent/' },
      to: { path: '^controller/' },
    },
    {
      name: 'controller-never-imports-agent',
      severity: 'error',
      from: { path: '^controller/' },
      to: { path: '^agent/' },
    },
    {
      name: 'nobody-imports-tests-or-scripts',
      severity: 'error',
      from: { path: '^(controller|agent|shared)/' },
      to: { path: '^(test|scripts)/' },
    },
    ...rooms,
    only('database-in-store', '^(node:)?sqlite$', '^controller/store/'),
    only('fastify-at-home', 'node_modules/(fastify|@fastify)/', '^controller/(server|dispatch)/'),
    only('sockets-at-home', 'node_modules/ws/', '^(controller/dispatch|controller/cli/shell-socket|agent/link)'),
    only('terminals-at-home', 'node_modules/node-pty/', '^agent/pty/'),
    only('processes-at-home', '^(node:)?child_process$', '^(agent/host|controller/bootstrap|controller/cli/daemon)'),
    only('commander-at-home', 'node_modules/commander/', '^(controller/cli|agent/(main|config|cli))'),
    only('protobuf-at-home', 'node_modules/protobufjs/', '^shared/protocol/codec'),
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'require', 'node', 'default', 'types'],
    },
  },
};
