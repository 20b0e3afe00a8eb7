def substitute(e,t): raise NotImplementedError
