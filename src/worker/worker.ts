// The engine worker's entry: one session behind Comlink.
import { exposeCalls } from './expose'
import { EngineSession } from './session'

exposeCalls(new EngineSession())
