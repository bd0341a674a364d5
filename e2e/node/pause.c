/* The process that holds a pod's namespaces: it takes in orphans and ends when it is asked to. */
#include <signal.h>
#include <stddef.h>
#include <sys/wait.h>

int main(void) {
  sigset_t waited;
  int which;
  sigemptyset(&waited);
  sigaddset(&waited, SIGTERM);
  sigaddset(&waited, SIGINT);
  sigaddset(&waited, SIGCHLD);
  sigprocmask(SIG_BLOCK, &waited, NULL);
  while (sigwait(&waited, &which) == 0 && which == SIGCHLD)
    while (waitpid(-1, NULL, WNOHANG) > 0) {
    }
  return 0;
}
