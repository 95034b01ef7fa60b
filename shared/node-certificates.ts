/** The certificates on a node: what `kk-agent certs list -o json` prints, and the controller's commands read. */
import { z } from 'zod';

/** Who renews it before it ends. `nobody`: a CA, or one that somebody else has made. */
export const KEEPERS = ['timer', 'kubelet', 'run', 'agent', 'nobody'] as const;
export type Keeper = (typeof KEEPERS)[number];

export const NodeCertificate = z.object({
  /** As kubeadm calls it where it is one of its own: `apiserver`, `etcd/peer`, `admin.conf`. */
  name: z.string().max(256),
  path: z.string().max(4096),
  /** Common names. */
  subject: z.string().max(1024),
  issuer: z.string().max(1024),
  /** Epoch milliseconds. */
  not_after_ms: z.number(),
  keeper: z.enum(KEEPERS),
});
export type NodeCertificate = z.infer<typeof NodeCertificate>;

/** What became of the last renewal on a control plane: kept on the node until somebody asks. */
export const Renewal = z.object({
  at_ms: z.number(),
  /**
   * good: nothing was to do; renewed; postponed: somebody else is at work, it will be tried again; renewing: under way, or cut
   * short in the middle, then the next try finishes it; failed.
   */
  state: z.enum(['good', 'renewed', 'postponed', 'renewing', 'failed']),
  message: z.string().max(4096),
  /** It only had to wait: for a run, for another control plane, for the API. */
  waits: z.boolean().optional(),
});
export type Renewal = z.infer<typeof Renewal>;

export const NodeCertificates = z.object({
  certificates: z.array(NodeCertificate).max(1000),
  /** Absent: none was ever tried. */
  renewal: Renewal.optional(),
});
export type NodeCertificates = z.infer<typeof NodeCertificates>;
