import t from 'tap';
import { prove } from './prove.ts';

prove(t, 'other-schedules', 1);
