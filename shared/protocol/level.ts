/**
 * The protocol level both sides speak; Welcome carries the lower of the two.
 *
 * | level | since | what it may use |
 * |---|---|---|
 * | 1 | 0.1.0 | everything in kk.proto |
 */
export const PROTOCOL_LEVEL = 1;

/** The oldest level that this build still understands. */
export const OLDEST_LEVEL = 1;

/** Bytes of one frame, either way; Welcome states it and both sides enforce it. */
export const FRAME_LIMIT = 1024 * 1024;

/** Sub-protocol named in the WebSocket upgrade. */
export const SUBPROTOCOL = 'kk.v1';

/**
 * Lives of a journal in Hello (kk.proto, Life): an agent that was not heard in so many of them is taken for one that was set
 * back, and is told everything.
 */
export const LIVES = 32;

/** In the capabilities of Hello: the agent opens terminals (kk.proto, ShellOpen). */
export const SHELL_CAPABILITY = 'shell@1';

/** Bytes of one ShellInput and of one ShellOutput. */
export const SHELL_INPUT = 32 * 1024;
export const SHELL_OUTPUT = 64 * 1024;
