/** Who may import whom (ARCHITECTURE.md). A lint rule, not a reviewer, keeps the house in order. */
const only = (name, power, homes, comment) => ({
  name,
  comment,
  severity: 'error',
  from: { path: '^(controller|agent|shared)/', pathNot: homes },
  to: { path: power },
});

module.exports = {
  forbidden: [
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } } },
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
    { name: 'agent-never-imports-controller', severity: 'error', from: { path: '^agent/' }, to: { path: '^controller/' } },
    { name: 'controller-never-imports-agent', severity: 'error', from: { path: '^controller/' }, to: { path: '^agent/' } },
    {
      name: 'nobody-imports-tests-or-scripts',
      severity: 'error',
      from: { path: '^(controller|agent|shared)/' },
      to: { path: '^(test|scripts)/' },
    },
    { name: 'plan-is-pure-and-first', severity: 'error', from: { path: '^controller/plan/' }, to: { path: '^controller/(?!plan/)' } },
    { name: 'compile-sees-plan-only', severity: 'error', from: { path: '^controller/compile/' }, to: { path: '^controller/(?!plan/|compile/)' } },
    { name: 'run-sees-compile-only', severity: 'error', from: { path: '^controller/run/' }, to: { path: '^controller/(?!run/|compile/)' } },
    { name: 'views-see-the-store', severity: 'error', from: { path: '^controller/views/' }, to: { path: '^controller/(?!views/|store/|run/|compile/)' } },
    {
      name: 'cli-is-a-client',
      comment: 'Commands talk to the controller over its API; only `serve` reaches compose, through main.',
      severity: 'error',
      from: { path: '^controller/cli/' },
      to: { path: '^controller/(?!cli/|plan/|compile/|config/|views/)' },
    },
    { name: 'agent-host-stands-alone', severity: 'error', from: { path: '^agent/host/' }, to: { path: '^agent/(?!host/)' } },
    only('database-in-store', '^(node:)?sqlite$', '^controller/store/'),
    only('fastify-at-home', 'node_modules/(fastify|@fastify)/', '^controller/(server|dispatch)/'),
    only('sockets-at-home', 'node_modules/ws/', '^(controller/dispatch|agent/link)/'),
    only('processes-at-home', '^(node:)?child_process$', '^(agent/host|controller/bootstrap|controller/cli/daemon)'),
    only('commander-at-home', 'node_modules/commander/', '^(controller/cli|agent/(main|config|cli))'),
    only('protobuf-at-home', 'node_modules/protobufjs/', '^shared/protocol/codec'),
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'require', 'node', 'default', 'types'] },
  },
};
