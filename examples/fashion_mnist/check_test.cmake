# Runs PROGRAM --check on the files of CURRICULA, and on defective ones that it writes into FOLDER.
function(check_curriculum file expected_status expected_text)
  execute_process(COMMAND ${PROGRAM} ${ARGN} --check ${file} OUTPUT_VARIABLE printed ERROR_VARIABLE errors
                  RESULT_VARIABLE status)
  if(NOT status EQUAL expected_status)
    message(FATAL_ERROR "${file}: exit status ${status}, expected ${expected_status}\n${printed}${errors}")
  endif()
  if(NOT printed STREQUAL expected_text)
    message(FATAL_ERROR "${file}: printed\n${printed}\nexpected\n${expected_text}")
  endif()
endfunction()

check_curriculum(${CURRICULA}/rising_temperature.json 0
"rising_temperature.json: 2 stages, 17,160 steps, 40 epochs of 429 steps
stage         epoch    step  temperature  learning rate  loss weight  forward_kl  cross_entropy
soft targets      1       0          5.0          0.002          0.7         1.0            0.0
soft targets      7   2,574          5.0       0.001891          0.7         1.0            0.0
soft targets     12   5,147          5.0       0.001588          0.7         1.0            0.0
with labels      13   5,148       5.0625       0.001588         0.85        0.85           0.15
with labels      27  11,154        6.875       0.000546          1.0         0.7            0.3
with labels      40  17,159          8.0            0.0          1.0         0.7            0.3
")
check_curriculum(${CURRICULA}/low_temperature.json 0
"low_temperature.json: 2 stages, 17,160 steps, 40 epochs of 429 steps
stage         epoch    step  temperature  learning rate  loss weight  forward_kl  cross_entropy
soft targets      1       0          1.5          0.002          1.0         1.0            0.0
soft targets      9   3,432          1.5       0.001809          1.0         1.0            0.0
soft targets     16   6,863          1.5       0.001309          1.0         1.0            0.0
with labels      17   6,864          1.5       0.001309          1.0        0.85           0.15
with labels      29  12,012          1.5       0.000412          1.0         0.7            0.3
with labels      40  17,159          1.5            0.0          1.0         0.7            0.3
")
check_curriculum(${CURRICULA}/aligned.json 0
"aligned.json: 3 stages, 17,160 steps, 40 epochs of 429 steps
stage         epoch    step  temperature  learning rate  loss weight  forward_kl  cross_entropy  layers 0-1
soft targets      1       0          1.5          0.002          1.0         1.0            0.0         0.0
soft targets      9   3,432          1.5       0.001809          1.0         1.0            0.0         0.0
soft targets     16   6,863          1.5       0.001309          1.0         1.0            0.0         0.0
with labels      17   6,864          1.5       0.001309          1.0        0.85           0.15         0.0
with labels      25  10,296          1.5       0.000691          1.0         0.7            0.3         0.0
with labels      32  13,727          1.5       0.000191          1.0         0.7            0.3         0.0
alignment        33  13,728          1.5       0.000191          1.0         0.7            0.3        15.0
alignment        37  15,444          1.5       0.000049          1.0         0.7            0.3        30.0
alignment        40  17,159          1.5            0.0          1.0         0.7            0.3        30.0
")
check_curriculum(${CURRICULA}/quick.json 0
"quick.json: 2 stages, 468 steps, 6 epochs of 78 steps
stage         epoch  step  temperature  learning rate  loss weight  forward_kl  cross_entropy
soft targets      1     0          5.0          0.002          0.7         1.0            0.0
soft targets      2    78          5.0       0.001866          0.7         1.0            0.0
soft targets      2   155          5.0       0.001506          0.7         1.0            0.0
with labels       3   156          5.5         0.0015         0.85        0.85           0.15
with labels       5   312          8.0         0.0005          1.0         0.7            0.3
with labels       6   467          8.0            0.0          1.0         0.7            0.3
" --quick)

# What makes a file no curriculum, all of it at once; then what this program cannot train with.
set(file ${FOLDER}/defective.json)
file(WRITE ${file} [[{
  "version": 1,
  "temperature": {"kind": "temperature_ramp", "start": 5, "stop": 8, "increment": -1},
  "stages": [{"name": "a", "length": {"unit": "epochs", "amount": 2}, "temprature": 4, "loss_weight": -1}]
}]])
check_curriculum(${file} 1
"${file}: stages[0].temprature: is unknown; did you mean temperature?
${file}: temperature.increment: must be of the sign of stop - start, got -1
${file}: stages[0].loss_weight: must be >= 0, got -1
")
set(file ${FOLDER}/unfit.json)
file(WRITE ${file} [[{
  "version": 1,
  "stages": [
    {"name": "a", "length": {"unit": "metric", "metric": "accuracy", "target": 1}, "data_source": "more"},
    {"name": "b", "length": {"amount": 2}, "mixture": {"x": 1}, "layers": [{"student": 0, "teacher": 1}, {"student": 1, "teacher": 2}],
     "objectives": {"forward_kl": 1, "backward_kl": 1}}
  ]
}]])
set(known "forward_kl, reverse_kl, jensen_shannon, logit_mse, cross_entropy")
check_curriculum(${file} 1
"${file}: stages[0].length.unit: must be steps, epochs or tokens here, so that all students train equally long
${file}: stages[0].objectives: must not be empty here
${file}: stages[0].data_source: must be left out, there is one source of data here
${file}: stages[1].objectives.backward_kl: is none of the losses here: ${known}
${file}: stages[1].layers[1].student: must be 0, the students here have one hidden layer
${file}: stages[1].layers[1].teacher: must be 0 or 1, the teachers here have two hidden layers
${file}: stages[1].mixture: must be left out, there is one source of data here
")
set(file ${FOLDER}/endless.json)
file(WRITE ${file} [[{"version": 1, "stages": [
  {"name": "a", "length": {"amount": 9000000000000000000}, "objectives": {"forward_kl": 1}}]}]])
check_curriculum(${file} 1 "${file}: stages: must be at most 1,000,000 steps long together here
")
set(file ${FOLDER}/absent.json)
check_curriculum(${file} 1 "${file}: cannot be read
")

# A run does not begin with such a file.
set(file ${FOLDER}/unfit.json)
execute_process(COMMAND ${PROGRAM} --quick --curriculum ${file} --output ${FOLDER} --cache ${FOLDER}
                ERROR_VARIABLE errors OUTPUT_VARIABLE printed RESULT_VARIABLE status)
if(NOT status EQUAL 1 OR NOT errors MATCHES "stages\\[1\\]\\.layers\\[1\\]\\.student: must be 0" OR NOT printed STREQUAL "")
  message(FATAL_ERROR "a run with a defective curriculum: exit status ${status}\n${printed}${errors}")
endif()
