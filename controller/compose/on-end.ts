/** Takes what closes a part. Whatever was opened is closed in reverse order, however the controller ends. */
export type OnEnd = (close: () => Promise<unknown>) => void;
