import type { Host, RunOutput } from '../host/host.ts';

/** kubectl with admin.conf; `input` is its standard input. Does not throw because of what the API says. */
export type Kubectl = (args: readonly string[], input?: string) => Promise<RunOutput>;

/** Longer than the API's own patience with a member of etcd that is away. */
const TIMEOUT_SECONDS = 20;

/** `server`: this apiserver and no other, `https://host:port`. */
export function kubectlOf(
  host: Host,
  { bin, kubernetes }: { bin: string; kubernetes: string },
  server?: string,
): Kubectl {
  const common = ['--kubeconfig', `${kubernetes}/admin.conf`, `--request-timeout=${TIMEOUT_SECONDS}s`];
  return async (args, input) => {
    try {
      return await host.run(
        [`${bin}/kubectl`, ...common, ...(server === undefined ? [] : ['--server', server]), ...args],
        {
          timeoutMs: (TIMEOUT_SECONDS + 10) * 1000,
          ...(input === undefined ? {} : { input }),
        },
      );
    } catch (thrown) {
      // It hangs: no answer is an answer here.
      return { code: 1, stdout: '', stderr: thrown instanceof Error ? thrown.message : String(thrown) };
    }
  };
}
