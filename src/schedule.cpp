// Schedules: the sentences of their errors, and schedules as text.
#include <distill/schedule/parameter-inl.hpp>
#include <distill/schedule/schedule-inl.hpp>
