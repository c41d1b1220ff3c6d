// The entry of the worker that fetches models: its own, so that a download neither waits for a race nor slows one down.
import { exposeCalls } from '../expose'
import { ModelSourcesSession } from './session'

exposeCalls(new ModelSourcesSession())
