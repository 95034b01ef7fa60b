/** How long things hold, in milliseconds (ENGINE 4.1, 4.3, 4.7). */
const HOUR = 60 * 60 * 1000;
const DAY = 24 * HOUR;

export const ROOT_LIFE_MS = 3650 * DAY;
export const ISSUING_LIFE_MS = 365 * DAY;
export const CONTROLLER_LIFE_MS = 90 * DAY;
export const NODE_LIFE_MS = 7 * DAY;
/** Of the CAs of clusters, as kubeadm does it. */
export const CLUSTER_CA_LIFE_MS = 3650 * DAY;
/** How long an expired node certificate still opens a renew-only session. */
export const RENEW_GRACE_MS = 400 * DAY;
/** Certificates begin this much in the past, so that a clock slightly behind accepts them. */
export const BACKDATE_MS = HOUR;
