import { z } from 'zod';
import { KkError } from '../../shared/errors.ts';
import { FactsView, NodeView, RunSummary, TokenView } from '../views/types.ts';

/** What the operator API answers, as the client checks it. */
export {
  BackupView,
  NodeView,
  RemovedView,
  RevisedView,
  RollbackView,
  RunView,
  StatusView,
  StreamLine,
} from '../views/types.ts';

export const FactsViews = z.array(FactsView);
export const NodeViews = z.array(NodeView);
export const RunSummaries = z.array(RunSummary);
export const TokenViews = z.array(TokenView);
export const Started = z.object({ run: z.string() });
export const StartedAdHoc = Started.extend({ nodes: z.number(), withoutFacts: z.array(z.string()) });
export const Missing = z.object({ missing: z.array(z.string()) });
export const StartedScan = Started.extend({ node: z.string() });
export const Clusters = z.object({ clusters: z.array(z.string()) });
export const Kubeconfig = z.object({ content: z.string() });
export const Adopted = z.object({ runs: z.array(z.string()) });
export const NewToken = z.object({ text: z.string(), token: TokenView });
export const NewJoin = z.object({ command: z.string(), token: TokenView, userData: z.string().optional() });

/** The answer as what it should be. Throws KkError CONTROLLER_ANSWER. */
export function understood<S extends z.ZodType>(shape: S, value: unknown): z.output<S> {
  const parsed = shape.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new KkError({
    code: 'CONTROLLER_ANSWER',
    message: 'The controller gave an answer that is not understood.',
    remedy: 'Use the same version for both: compare with `kk-controller version`.',
    evidence: z.prettifyError(parsed.error).slice(0, 1000),
  });
}
