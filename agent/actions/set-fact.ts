import { observing } from './observing.ts';

/** The executor binds the names; here the values only pass through. */
export const setFactExecutor = observing<'set_fact'>((input) => input);
